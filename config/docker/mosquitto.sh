#!/bin/sh
# Writes mosquitto's password file from the environment, then becomes mosquitto.
set -eu
passwords=${MOSQUITTO_PASSWORDS:-/tmp/mosquitto.passwords}
umask 077
: >"$passwords"
mosquitto_passwd -b "$passwords" bourse "$MQTT_BOURSE_PASSWORD"
mosquitto_passwd -b "$passwords" prices "$MQTT_PRICES_PASSWORD"
mosquitto_passwd -b "$passwords" reader "$MQTT_READER_PASSWORD"
exec mosquitto -c "${MOSQUITTO_CONFIG:-/mosquitto/config/mosquitto.conf}"
