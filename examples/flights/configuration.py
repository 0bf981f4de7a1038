"""The sidecar's configuration for sped-up time.

The sidecar's windows are in wall time, and here a virtual day takes about two seconds. So every duration is divided
by the same factor: what it says about July to December is what it would have said in 2013, at the settings below.
Pure. Called by the main program; the names are `train`'s as well.
"""

from __future__ import annotations

from pathlib import Path

from examples.flights.schedule import DAY_S

MODEL = "flights"
CHAMPION, CHALLENGER = "1", "2"

# The sidecar closes buckets on its own tick of one second. Half a second less than the week lets the right tick do it.
TICK_SLACK_S = 0.5


def bucket_s(day_s: float) -> float:
    """Wall seconds of a drift bucket: a virtual week.

    The smallest stretch in which the calendar is whole. A day has one weekday, so by days `weekday` would be far
    from training every single day; by the minute, as is the default, so would the hour of departure.
    """
    return 7 * day_s - TICK_SLACK_S


def configuration(
    *, folder: Path, day_s: float, data_port: int, admin_port: int, champion_port: int, challenger_port: int
) -> str:
    """The text of config.yaml. Everything that is not here is at its default, also the gates."""
    return f"""\
listen: 127.0.0.1:{data_port}
state_dir: {folder}/state
admin:
  listen: 127.0.0.1:{admin_port}
registry:
  uri: file:{folder}/registry
deployments:
  - name: {MODEL}
    owner: operations@example.com
    champion: {{version: "{CHAMPION}", url: "http://127.0.0.1:{champion_port}"}}
    challengers:
      - {{version: "{CHALLENGER}", url: "http://127.0.0.1:{challenger_port}"}}
    baseline: registry
    sampling:
      rows_per_s: 1000000           # every row: a second here is half a day of traffic
    drift:
      bucket_s: {bucket_s(day_s):g}                 # a virtual week
      false_alarm_days: {365 * day_s / DAY_S:.6f}   # one false alarm a virtual year
      tolerance: 0.01               # in nats: about what a holiday does to a week
    gates:
      duration: {{min_hours: {7 * day_s / 3600:.6f}}}  # the default of 168 hours, in virtual time
      lineage: {{require: [data, code, params]}}
"""
