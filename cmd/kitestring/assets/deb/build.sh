#!/bin/sh
# Builds a Debian package from a binary: build.sh BINARY VERSION FOLDER
# The package is one binary, a systemd unit, and what operators read. It starts
# nothing by itself: the account's credentials come first.
set -eu
binary=$1 version=$2 out=$3
assets=$(cd "$(dirname "$0")/.." && pwd)

# A Debian version begins with a digit and knows few characters. One without a
# release is ordered by the time of its commit: a hash has no order.
version=$(printf %s "${version#v}" | tr -c 'A-Za-z0-9.+~' '.')
case $version in
[0-9]*.[0-9]*) ;;
*) version=0~$(TZ=UTC git -C "$assets" log -1 --date=format-local:%Y%m%d%H%M%S --format=%cd 2>/dev/null || date -u +%Y%m%d%H%M%S).$version ;;
esac
arch=$(dpkg --print-architecture)

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
umask 022
chmod 0755 "$root"
mkdir -p "$root/DEBIAN" "$root/usr/bin" "$root/lib/systemd/system" "$root/usr/share/doc/kitestring" "$root/usr/share/kitestring"
install -m 0755 "$binary" "$root/usr/bin/kitestring"
install -m 0644 "$assets/kitestring.service" "$root/lib/systemd/system/kitestring.service"
install -m 0644 "$assets/runbook.md" "$assets/metrics.md" "$assets/parameters.md" "$root/usr/share/doc/kitestring/"
install -m 0644 "$assets/alerts.yml" "$assets/recording.yml" "$assets/prometheus.yml" "$assets/dashboard.json" "$root/usr/share/kitestring/"
mkdir -p "$root/usr/share/man/man1" "$root/usr/share/bash-completion/completions" "$root/usr/share/zsh/vendor-completions" "$root/usr/share/fish/vendor_completions.d"
"$binary" man --dir "$root/usr/share/man/man1"
gzip -9n "$root"/usr/share/man/man1/*
"$binary" completion bash >"$root/usr/share/bash-completion/completions/kitestring"
"$binary" completion zsh >"$root/usr/share/zsh/vendor-completions/_kitestring"
"$binary" completion fish >"$root/usr/share/fish/vendor_completions.d/kitestring.fish"
install -m 0755 "$assets/deb/postinst" "$assets/deb/prerm" "$assets/deb/postrm" "$root/DEBIAN/"
size=$(du -sk "$root/usr" "$root/lib" | awk '{ n += $1 } END { print n }')
sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" -e "s/@SIZE@/$size/" "$assets/deb/control" >"$root/DEBIAN/control"
mkdir -p "$out"
dpkg-deb --root-owner-group -Zgzip --build "$root" "$out/kitestring_${version}_${arch}.deb"
