#!/bin/sh
# Builds a Debian package from a binary: build.sh BINARY VERSION FOLDER
# The package is one binary, a systemd unit, and what operators read. It starts
# nothing by itself: the account's credentials come first.
set -eu
binary=$1 version=$2 out=$3
assets=$(cd "$(dirname "$0")/.." && pwd)

# A Debian version begins with a digit and knows few characters.
version=$(printf %s "${version#v}" | tr -c 'A-Za-z0-9.+~' '.')
case $version in [0-9]*) ;; *) version=0~$version ;; esac
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
install -m 0755 "$assets/deb/postinst" "$assets/deb/prerm" "$assets/deb/postrm" "$root/DEBIAN/"
size=$(du -sk "$root/usr" "$root/lib" | awk '{ n += $1 } END { print n }')
sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" -e "s/@SIZE@/$size/" "$assets/deb/control" >"$root/DEBIAN/control"
mkdir -p "$out"
dpkg-deb --root-owner-group -Zgzip --build "$root" "$out/kitestring_${version}_${arch}.deb"
