#!/usr/bin/env bash
# The health check of a container: exit code 0 when /readyz of this port answers 200. The image has no HTTP client, and
# this is all that one would be there for.
#
#   ready 8080
set -euo pipefail
exec 3<>"/dev/tcp/127.0.0.1/$1"
printf 'GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' >&3
read -r -t 4 _ status _ <&3
[ "$status" = 200 ]
