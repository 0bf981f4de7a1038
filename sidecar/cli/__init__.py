"""The command line. `main` is the program `sidecar`; each command's module is imported only when it is called.

Keeps: a command answers with its exit code and, where it fails, one plain sentence on standard error. Decides nothing:
it reads files, starts parts of the product or calls the admin API.
"""

from __future__ import annotations

import click

import sidecar
from sidecar.cli.group import CommandGroup

_COMMANDS = {
    "run": ("process:run_command", "Start the sidecar."),
    "check": ("process:check_command", "Check a configuration file; start nothing."),
    "demo": ("process:demo_command", "Play the whole story on embedded models."),
    "serve-model": ("process:serve_model_command", "Serve one ONNX model."),
    "status": ("standing:status_command", "Champions, challengers and how they are."),
    "top": ("top:top_command", "The same live, with traffic, gates and alarms."),
    "gates": ("evidence:gates_command", "May the challenger take over? Exit code 0: yes."),
    "comparison": ("comparison:comparison_command", "The challenger beside the champion."),
    "label-queue": ("comparison:label_queue_command", "Rows whose outcome would tell which version is better."),
    "drift": ("drift:drift_command", "Live inputs against the training data."),
    "alarms": ("alarms:alarms_command", "What a person should know."),
    "features": ("features:features_command", "Served rows beside an offline pipeline's."),
    "promote": ("transition:promote_command", "Make a challenger the champion."),
    "override": ("transition:override_command", "Make a version the champion past the gates."),
    "canary": ("transition:canary_command", "Let a challenger answer a share of the requests first."),
    "approve": ("transition:approve_command", "Agree that a challenger may take over."),
    "hold": ("transition:hold_command", "Keep the machine from promoting a version."),
    "release": ("transition:release_command", "Let the machine promote a version again."),
    "rollback": ("transition:rollback_command", "Go back to the previous champion."),
    "challenger": ("shadow:challenger_command", "Set or remove a challenger."),
    "shadow": ("shadow:shadow_command", "Switch all copies of a deployment on or off."),
    "registry": ("registry:registry_command", "What the registry says; end a disagreement with it."),
    "outcomes": ("outcomes:outcomes_command", "Post late outcomes from a file."),
    "cost": ("cost:cost_command", "What a stretch of time cost."),
    "events": ("events:events_command", "Events that nobody took."),
    "report": ("report:report_command", "A transition, told for an auditor."),
    "audit": ("audit:audit_command", "Read or verify the audit trail."),
    "completion": ("completing:completion_command", "Make bash, zsh or fish complete this program."),
    "baseline": ("baseline:baseline_command", "Build, merge or show a baseline."),
}


@click.group(cls=CommandGroup, homes=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(sidecar.__version__, message="sidecar %(version)s")
def main() -> None:
    """Keeps machine-learning models honest after launch."""


__all__ = ["main"]
