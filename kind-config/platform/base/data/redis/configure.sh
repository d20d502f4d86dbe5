#!/bin/sh
# Writes this pod's configuration: who the primary is, Sentinel knows. Where no Sentinel answers, pod 0 begins as primary.
set -eu
cp /scripts/redis.conf /settings/redis.conf
{
    echo "requirepass $REDIS_PASSWORD"
    echo "masterauth $REDIS_PASSWORD"
    echo "replica-announce-ip $HOSTNAME.redis"
} >> /settings/redis.conf
primary=$(timeout 3 redis-cli -h redis-sentinel -p 26379 sentinel get-master-addr-by-name selfmonitor 2>/dev/null | head -n 1 || true)
: "${primary:=redis-0.redis}"
if [ "$primary" != "$HOSTNAME.redis" ]; then
    echo "replicaof $primary 6379" >> /settings/redis.conf
fi
