#!/bin/sh
# Dumps every database into a folder of its own time, then drops the folders that are older than 30 days.
set -eu
folder="/backups/$(date -u +%Y-%m-%dT%H%M%SZ)"
mkdir -p "$folder.part"
for database in $(psql --no-align --tuples-only --command="SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'"); do
    pg_dump --format=custom --file="$folder.part/$database.dump" "$database"
done
# Complete or not there: a folder without ".part" can be restored.
mv "$folder.part" "$folder"
find /backups -mindepth 1 -maxdepth 1 -type d -mtime +30 -exec rm -rf {} +
