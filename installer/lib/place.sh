# shellcheck shell=bash disable=SC2034,SC2154 # shared with the files that it is sourced with
# Puts the files in place so that at any moment either the old version is whole or the new one is. Sourced.
#
# A release is copied beside the others under a name that counts for nothing, synced, then renamed. One rename
# of the link `current` takes it into use. What lies around it (units, links, the version file) only leads
# to `current`: at a first installation it is laid before that rename, so that there is nothing or all; at an
# upgrade after it, since units of one version run the programs of the next, but not those of the one before.

# Sets `release_name`, the directory of the new version among the releases.
place_release() {
  local releases=$root$directory/Vx/releases staged
  staged=$releases/.$new_version.new
  mkdir -p "$releases" || fail "$exit_no_space" "$root$directory cannot be made"
  rm -rf "$releases"/.*.new
  choose_release_name "$releases"
  [ ! -d "$releases/$release_name" ] || return 0
  copy_release "$source_tree" "$staged" ||
    fail "$exit_no_space" "the programs could not be copied to $root$directory: $(last_reason)" \
      'Make room, and run it again.'
  HOMEWARD_CONTROL='' NODE_COMPILE_CACHE='' "$staged/runtime/bin/node" --version >/dev/null ||
    fail "$exit_refused" "programs in $root$directory do not run" \
      'Is it mounted noexec? Choose another directory with -d.'
  settle_disk
  mv -T "$staged" "$releases/$release_name" ||
    fail "$exit_no_space" "$releases/$release_name could not be made"
}

# Against a power cut: a rename must not come to the disk before what it leads to.
settle_disk() {
  sync -f "$root$directory" "$root/etc" "$root/usr/local" 2>/dev/null || sync
}

# What is there and the same is used; what runs and is not the same stays until the new one runs.
choose_release_name() {
  local count=0 name=$new_version
  while [ -d "$1/$name" ] && ! same_release "$source_tree" "$1/$name"; do
    if [ "$(current_release)" = "$name" ]; then
      count=$((count + 1))
      name=$new_version.r$count
    else
      rm -rf "${1:?}/$name"
    fi
  done
  release_name=$name
}

same_release() {
  diff -rq --no-dereference "$1" "$2" >/dev/null 2>&1
}

# Of what was said for each of many files.
last_reason() {
  local said
  said=$(tail -n 1 "$errors" 2>/dev/null)
  echo "${said##*: }"
}

# Whoever unpacked the package, the programs belong to root, and nobody else can change them.
copy_release() {
  {
    mkdir "$2" &&
      cp -R --no-dereference --preserve=mode,timestamps "$1/." "$2/" &&
      chmod -R go-w,a+rX "$2"
  } 2>"$errors"
}

current_release() {
  basename "$(readlink "$root$directory/Vx/current" 2>/dev/null)" 2>/dev/null
}

# use_release NAME: the one rename that switches versions.
use_release() {
  local vx=$root$directory/Vx
  ln -sfn "releases/$1" "$vx/.current.new" && mv -T "$vx/.current.new" "$vx/current" ||
    fail "$exit_no_space" "$vx/current could not be changed"
}

# Directories of this host, which no version replaces.
place_directories() {
  local vx=$root$directory/Vx
  mkdir -p "$vx/etc" "$vx/private" "$root/var/lib/homeward" "$root/var/log/homeward" "$root/usr/local/bin" &&
    chmod 0700 "$vx/private" || fail "$exit_no_space" "directories under $vx could not be made"
  log_file=$root/var/log/homeward/install.log
  to_log "installing $new_version as $role in $directory"
}

# place_text PATH MODE: standard input becomes the file, whole or not at all.
place_text() {
  local path=$root$1
  mkdir -p "$(dirname "$path")" && cat >"$path.new" && chmod "$2" "$path.new" && mv -T "$path.new" "$path" ||
    fail "$exit_no_space" "$path could not be written"
}

# place_link TARGET PATH: what is there and not a link of ours stays.
place_link() {
  local path=$root$2
  if [ -e "$path" ] && [ ! -L "$path" ]; then
    warn "$path is there and not ours; it stays, and nothing is linked"
    return 0
  fi
  [ "$(readlink "$path")" != "$1" ] || return 0
  mkdir -p "$(dirname "$path")" && ln -sfn "$1" "$path.new" && mv -T "$path.new" "$path" ||
    fail "$exit_no_space" "$path could not be linked"
}

# place_surroundings RELEASE-TREE: all that leads to `current`.
place_surroundings() {
  place_link current/bin "$directory/Vx/bin"
  place_link current/runtime "$directory/Vx/runtime"
  place_link "$directory/Vx/bin/homeward" /usr/local/bin/homeward
  place_documents "$1"
  place_units "$1"
}

# Man pages and completions follow `current`, so that they are always those of the version that runs.
place_documents() {
  local file
  for file in "$1"/share/man/man[18]/*.[18]*; do
    [ -f "$file" ] && place_link "$directory/Vx/current${file#"$1"}" "/usr/local${file#"$1"}"
  done
  while read -r file to; do
    [ -f "$1/share/completions/$file" ] &&
      place_link "$directory/Vx/current/share/completions/$file" "$to"
  done <<'END'
homeward /usr/local/share/bash-completion/completions/homeward
_homeward /usr/local/share/zsh/site-functions/_homeward
homeward.fish /etc/fish/completions/homeward.fish
END
  return 0
}

# place_version_file VERSION RELEASE-TREE
place_version_file() {
  place_text "$version_file" 0644 <<END
VERSION=$1
ROLE=$role
INSTALL_DIR=$directory
BUILD=$(build_of "$2")
PLATFORM=${flag_platform:-$(ini_value PLATFORM "$root$version_file")}
END
}

build_of() {
  head -n 1 "$1/BUILD" 2>/dev/null
}

# The first installation writes it; later ones change what a flag names, and nothing else.
place_config() {
  local path=$directory/Vx/etc/drscout.conf before
  made_config='' kept_config=''
  # What was set for another role holds for nothing here; who comes back to that finds it.
  before=$(role_before "$path")
  if [ -n "$before" ]; then
    kept_config=$root$path.$before
    mv -f "$root$path" "$kept_config" || exit
    say "What was set while this host was a $(role_title "$before") is kept in $path.$before"
  fi
  if [ ! -f "$root$path" ]; then
    made_config=$root$path
    place_text "$path" 0640 <<END
; Who this host is. hostconfigcli changes what most hosts need; docs/configuration.md lists every setting.
[vxagent]
Role = $role

[homeward]
END
  fi
  if [ "$(ini_value Role "$root$path")" != "$role" ]; then set_config vxagent Role "$role"; fi
  [ -z "$flag_retention" ] || set_config homeward RetentionVolume "$flag_retention"
  share_config
}

# role_before CONFIG-FILE: the other role that an earlier installation has left it for, or nothing.
role_before() {
  local before
  before=$(ini_value Role "$root$1")
  [ "$before" = "$role" ] || printf '%s' "$before"
}

# Configuration and process server run as the user homeward, and read it.
share_config() {
  [ -n "$root" ] || ! getent group homeward >/dev/null 2>&1 || chgrp homeward "$directory/Vx/etc/drscout.conf"
}

# set_config SECTION KEY VALUE; other lines stay as somebody wrote them.
set_config() {
  local path=$directory/Vx/etc/drscout.conf changed
  changed=$(awk -v section="$1" -v key="$2" -v value="$3" '
    function put() { if (!done) print key " = " value; done = 1 }
    /^[[:space:]]*\[/ { if (inside) put(); inside = index($0, "[" section "]") > 0 }
    inside && $0 ~ "^[[:space:]]*" key "[[:space:]]*=" { put(); next }
    { print }
    END { if (!done) { if (!inside) print "\n[" section "]"; put() } }
  ' "$root$path") || return
  place_text "$path" 0640 <<<"$changed" && share_config
}

# Only the version that runs is kept: history and identity lie elsewhere.
remove_other_releases() {
  local keep at
  keep=$(current_release)
  for at in "$root$directory/Vx/releases"/* "$root$directory/Vx/releases"/.*.new; do
    [ -d "$at" ] && [ "$(basename "$at")" != "$keep" ] && rm -rf "$at"
  done
  return 0
}
