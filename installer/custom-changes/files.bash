# shellcheck shell=bash disable=SC2154
# What files are to contain, the changes shown, and files replaced as a whole: whatever interrupts it, each
# file has its old content or its new one. Reads $top, $work, $state, $manifest.
#
# Crash order: 1 the initramfs is marked as due · 2 a copy of the file · 3 the manifest has what it was and
# what it will be · 4 the new content beside the file, synced · 5 moved over it · 6 after all files, the
# initramfs · 7 the mark goes. A run that was interrupted is simply made again, or taken back.

begin_mark='# BEGIN homeward (ApplyCustomChanges.sh)'
end_mark='# END homeward'

# The content before our changes: blocks between our marks go, lines that we had commented out come back.
without_ours() {
  awk '
    /^[ \t]*# BEGIN homeward/ { inside = 1; next }
    /^[ \t]*# END homeward/ { inside = 0; next }
    inside { next }
    { sub(/^#homeward# /, ""); print }
  ' "$1"
}

# The same of the file $1 of the system, nothing where there is none. An end without a newline stays one.
plain_of() {
  local file
  file=$(real_file "$1")
  [ -f "$file" ] || return 0
  ensure_marks "$file"
  if [ -n "$(tail -c 1 "$file")" ]; then without_ours "$file" | head -c -1; else without_ours "$file"; fi
}

# A begin without its end would swallow what follows.
ensure_marks() {
  local begun ended
  begun=$(grep -c '^[[:space:]]*# BEGIN homeward' "$1")
  ended=$(grep -c '^[[:space:]]*# END homeward' "$1")
  [ "$begun" = "$ended" ] || fail "the marks of an earlier run in $1 were edited: nothing was changed.
Put its lines \"$begin_mark\" and \"$end_mark\" in order,
or copy the file back from $state/saved"
}

# What an earlier run has put between the marks.
ours_in() {
  [ -f "$1" ] && awk '/^[ \t]*# END homeward/ { on = 0 } on; /^[ \t]*# BEGIN homeward/ { on = 1 }' "$1"
}

# Where the new content of $1 is to be laid; one that is not laid there is to be removed.
new_of() {
  mkdir -p "$work/new$(dirname "$1")"
  printf '%s\n' "$work/new$1"
}

plan() { planned+=("$1"); }

# The file itself where $1 is a link, which may be absolute within the system below $top.
real_file() {
  local path=$1 link depth
  for depth in 1 2 3 4 5 6 7 8; do
    [ -L "$top$path" ] || break
    link=$(readlink "$top$path")
    case $link in
      /*) path=$link ;;
      *) path=$(dirname "$path")/$link ;;
    esac
  done
  [ "$depth" -lt 8 ] || fail "$1 is a link that leads nowhere"
  printf '%s\n' "$top$path"
}

is_changed() {
  local file new=$work/new$1
  file=$(real_file "$1")
  if [ -f "$file" ] && [ -f "$new" ]; then ! cmp -s "$file" "$new"; else [ -f "$file" ] || [ -f "$new" ]; fi
}

# Shows how a planned file changes; status 1 where it does not.
show_change() {
  is_changed "$1" || return 1
  local file new=$work/new$1
  file=$(real_file "$1")
  [ -f "$file" ] || file=/dev/null
  [ -f "$new" ] || new=/dev/null
  diff -u --label "$1 (now)" --label "$1 (then)" "$file" "$new"
  return 0
}

sum_of() { if [ -f "$1" ]; then sha256sum <"$1" | cut -d ' ' -f 1; else printf -- '-\n'; fi; }

# Keeps what was there before the first run, and notes what will be.
note_change() {
  local path=$1 file kind=changed before after
  file=$(real_file "$path")
  [ -f "$file" ] || kind=created
  before=$(sum_of "$file")
  after=$(sum_of "$work/new$path")
  local known
  known=$(awk -F '\t' -v path="$path" '$1 == path { print $2 "\t" $3 }' "$manifest" 2>/dev/null)
  if [ -z "$known" ]; then
    if [ "$kind" = changed ]; then
      mkdir -p "$state/saved$(dirname "$path")" && cp -p "$file" "$state/saved$path.new" &&
        sync "$state/saved$path.new" && mv -f "$state/saved$path.new" "$state/saved$path" || return 1
    fi
    known=$kind$'\t'$before
  fi
  {
    awk -F '\t' -v path="$path" '$1 != path' "$manifest" 2>/dev/null
    printf '%s\t%s\t%s\n' "$path" "$known" "$after"
  } >"$manifest.new" && sync "$manifest.new" && mv -f "$manifest.new" "$manifest"
}

put_file() {
  is_changed "$1" || return 0
  make_directory "$(dirname "$1")" && note_change "$1" && replace_file "$1"
}

# Directories that were not there go again when all is taken back.
make_directory() {
  [ ! -d "$top$1" ] || return 0
  make_directory "$(dirname "$1")" || return 1
  printf '%s\n' "$1" >>"$state/made" && mkdir "$top$1"
}

remove_made_directories() {
  [ -f "$state/made" ] || return 0
  sort -r "$state/made" | while read -r made; do rmdir "$top$made" 2>/dev/null; done
}

# Puts the planned content in its place, with the owner and mode that the file had.
replace_file() {
  local path=$1 file new
  file=$(real_file "$path")
  new=$(dirname "$file")/.$(basename "$file").homeward-new
  rm -f "$new" # what an interrupted run has left
  is_changed "$path" || return 0
  if [ ! -f "$work/new$path" ]; then
    rm -f "$file"
    return
  fi
  cp "$work/new$path" "$new" || return 1
  if [ -f "$file" ]; then
    chmod --reference="$file" "$new" && chown --reference="$file" "$new" || return 1
  elif [ -f "$state/saved$path" ]; then
    chmod --reference="$state/saved$path" "$new" || return 1
  else
    chmod 644 "$new" || return 1
  fi
  sync "$new" && mv -f "$new" "$file" && sync "$(dirname "$file")" || return 1
  if [ "$top" = '' ] && command -v restorecon >/dev/null; then restorecon "$file"; fi
  return 0
}

# What was there comes back as it was; where somebody has edited the file since, only our part is taken out.
plan_revert() {
  local path=$1 kind=$2 before=$3 after=$4 file new now
  file=$(real_file "$path")
  new=$(new_of "$path")
  now=$(sum_of "$file")
  plan "$path"
  if [ "$now" = "$before" ]; then
    [ "$now" = - ] || cp "$file" "$new"
  elif [ "$now" = "$after" ]; then
    [ "$kind" = created ] || cp "$state/saved$path" "$new"
  elif [ "$now" != - ]; then
    plain_of "$path" >"$new"
    notes+=("$path was edited since: only what is between our marks is taken out of it")
    # A file that was made here and has nothing of anybody else in it.
    [ "$kind" = created ] && ! grep -q '[^[:space:]]' "$new" && rm -f "$new"
  fi
}
