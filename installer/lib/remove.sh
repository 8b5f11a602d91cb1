# shellcheck shell=bash disable=SC2034,SC2154 # shared with the files that it is sourced with
# Takes the programs away again, and nothing that belongs to somebody's data. Sourced.

# remove_programs DIR: units, links and version file that are ours, then the programs. Safe at any state.
remove_programs() {
  local vx=$root$1/Vx
  # First what leads to the programs: whatever is left half done, nothing starts half a program.
  remove_units
  remove_links "$1"
  rm -f "$vx/current" "$vx/.current.new"
  rm -rf "$vx/releases"/* "$vx/releases"/.*.new
  forget_labels "$1"
  rm -f "$root$version_file" "$root$version_file.new"
  # Last: the version file without it would be that of another product.
  rmdir "$vx/releases" 2>/dev/null
  rmdir "$vx/etc" "$vx/private" "$vx" "$root$1" 2>/dev/null
  return 0
}

# Drop-ins of others stay: who wrote them may want them for the next installation.
remove_units() {
  local name path unit
  for unit in $(our_units); do
    path=$root$unit_directory/$unit
    rm -f "$path" "$path.new" "$root$unit_directory"/*.wants/"$unit"
    rm -f "$path.d/$our_drop_in" "$path.d/$our_drop_in.new"
    rmdir "$path.d" 2>/dev/null
  done
  while read -r name path; do rm -f "$root$path" "$root$path.new"; done < <(system_files)
  if has_systemd; then systemctl daemon-reload >/dev/null 2>&1; fi
  return 0
}

# A link is ours when it leads into our directory.
remove_links() {
  local link path
  for link in "$root"/usr/local/bin/homeward "$root"/usr/local/share/man/man[18]/* \
    "$root"/usr/local/share/bash-completion/completions/homeward \
    "$root"/usr/local/share/zsh/site-functions/_homeward \
    "$root"/etc/fish/completions/homeward.fish \
    "$root$1/Vx/bin" "$root$1/Vx/runtime"; do
    for path in "$link" "$link.new"; do
      [ -L "$path" ] || continue
      case $(readlink "$path") in
        "$1"/Vx/* | current/bin | current/runtime) rm -f "$path" ;;
      esac
    done
  done
}
