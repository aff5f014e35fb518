"""Commands of people. Each is nothing but writes to the registry, so that the controller sees one kind of intent."""

import json
import secrets
from datetime import UTC, datetime
from typing import Final, Literal

from registry_hooks.desk.ports import Json
from registry_hooks.desk.reading import Reading
from registry_hooks.desk.standing import Standing, against_promotion, just_ended, promoters_of, standing
from registry_hooks.desk.targets import version_for
from stagedoor import names
from stagedoor.domain.intent import Author, ModelVersion, RegisteredModel, author_of
from stagedoor.domain.refs import check_alias, check_version
from stagedoor.domain.strategy import Strategy
from stagedoor.domain.traffic import Sticky, TrafficPolicy
from stagedoor.errors import Conflict, InvalidRequest, ModelNotFound, OwnApproval, RegistryNotFound
from stagedoor.telemetry import get_logger

Fault = Literal["error", "latency", "nan"]
KEEP: Final = "keep"
"""In place of a value that may be None: leave it as it is."""

MAX_DRILL_SECONDS: Final = 600.0
PAUSE: Final = "pause"
WITHDRAW: Final = "withdraw"


class Desk(Reading):
    """Commands, each idempotent. `who` is the subject of the person's token.

    All raise ModelNotFound, RegistryError, and Conflict for what contradicts a rollout under way. They answer with the
    model as the board shows it, and `asked_at`: what the controller decided later carries a later time. `target` is the version
    that is to be live, where the command names one.
    """

    def promote(self, name: str, version: str, *, who: str, alias: str = names.CHAMPION, strategy: str | None = None) -> Json:
        """Point `alias` at `version`; `strategy` becomes the tag `stagedoor.rollout`. Raises InvalidTag and OwnApproval."""
        check_alias(alias)
        if strategy is not None:
            Strategy.parse(strategy)
        model, now = self._look(name)
        candidate = self._version(name, check_version(version))
        if not candidate.complete:
            raise Conflict(f"The registration of version {version} is not complete. Wait for it, and ask again.")
        if _wants_two(model) and candidate.tags.get(names.TAG_APPROVED) == who:
            raise OwnApproval
        if alias == names.CHAMPION:
            _refuse(against_promotion(now, version, strategy, model.tags.get(names.TAG_ROLLOUT)))
        if strategy is not None and names.TAG_TRAFFIC in model.tags:
            raise Conflict(
                "This model's traffic is set by hand. `stagedoor traffic MODEL --off` ends that, or leave the strategy out."
            )
        if strategy is not None and strategy != model.tags.get(names.TAG_ROLLOUT):
            self._registry.tag_model(name, names.TAG_ROLLOUT, strategy)
        self._move(model, alias, version, who)
        return self._told(name, "promote", who) | {"target": version}

    def finish(self, name: str, *, who: str) -> Json:
        """Promote the version of the running rollout now."""
        model, now = self._look(name)
        version = now.under_way
        if version is None:
            raise Conflict("No rollout of this model is under way. Name the version to promote.")
        self._control(model, f"promote {version}")
        return self._told(name, "finish", who) | {"target": version}

    def pause(self, name: str, *, who: str) -> Json:
        """Stay where it is until `resume`; a rollback still happens."""
        self._control(self._registered(name), PAUSE)
        return self._told(name, "pause", who)

    def resume(self, name: str, *, who: str) -> Json:
        """Go on after `pause`."""
        model = self._registered(name)
        if model.tags.get(names.TAG_CONTROL, "").strip() == PAUSE:
            self._registry.tag_model(name, names.TAG_CONTROL, None)
        return self._told(name, "resume", who)

    def abort(self, name: str, *, who: str) -> Json:
        """End the running rollout: the alias goes back to the stable version. Nothing where none is under way."""
        model, now = self._look(name)
        if now.under_way is not None:
            self._back(model, now, now.stable, who)
        return self._told(name, "abort", who)

    def withdraw(self, name: str, *, who: str) -> Json:
        """Take the model out of service: the tag says that it is meant, and alias or stage name nothing any more."""
        model, now = self._look(name)
        self._control(model, WITHDRAW)
        self._back(model, now, None, who)
        return self._told(name, "withdraw", who)

    def rollback(self, name: str, *, who: str, to: str | None = None) -> Json:
        """Go back to `to` (a version, or what its tag `semver` says); by default ends the rollout, else to the live one before.

        Raises ModelNotFound where no version is called so, and Conflict without `to` where a version has only just been taken
        back: whoever asks then most likely means that one.
        """
        model, now = self._look(name)
        target = now.stable if to is None and now.under_way is not None else None
        if to is not None:
            target = version_for(self._registry, model, to, self._lives(name))
        if to is None and target is None and now.under_way is None:
            _refuse(just_ended(self._board.read().get(name), self._clock()))
            target = next((version for version in self._lives(name) if version != now.stable), None)
            if target is None:
                raise Conflict("The ledger knows no version of this model that was live before. Name one with --to.")
        self._back(model, now, target, who)
        return self._told(name, "rollback", who) | {"target": target}

    def traffic(self, name: str, policy: str | None, *, who: str, sticky: str | None = KEEP) -> Json:
        """Split by hand as `policy` says, None ends that; `sticky` likewise. Raises InvalidTag and InvalidRequest."""
        if sticky is not None and sticky != KEEP:
            Sticky.parse(sticky)
        parsed = TrafficPolicy.parse(policy) if policy is not None else None
        model, now = self._look(name)
        if parsed is not None:
            if now.under_way is not None:
                raise Conflict(f"Version {now.under_way} is on its way. Let it end, or abort it, before splitting by hand.")
            if any(alias not in model.aliases for alias, _ in parsed.weights):
                raise InvalidRequest("The policy names an alias that this model does not have. Set the alias first.")
        # First what the policy needs, then the policy: half of it must not mean something else.
        if sticky != KEEP:
            self._tag(model, names.TAG_STICKY, sticky)
        if parsed is not None:
            self._tag(model, names.TAG_ROLLOUT, None)
        self._tag(model, names.TAG_TRAFFIC, policy)
        return self._told(name, "traffic", who)

    def approve(self, name: str, version: str, *, who: str) -> Json:
        """Say as a second person that `version` may go live. Raises OwnApproval for the one who promoted it."""
        model = self._registered(name)
        found = self._version(name, check_version(version))
        if who in promoters_of(model, self._board.read().get(name), version):
            raise OwnApproval
        if names.TAG_APPROVED not in found.tags:
            self._registry.tag_version(name, version, names.TAG_APPROVED, who)
        return self._told(name, "approve", who)

    def drill(self, name: str, fault: Fault, rate: float, *, seconds: float, who: str) -> Json:
        """Put a fault into the candidate for a new cohort, which the answer names. It ends by itself after `seconds`."""
        model, now = self._look(name)
        if now.under_way is not None:
            raise Conflict(f"Version {now.under_way} is on its way. A drill waits for its end.")
        if now.stable is None or names.TAG_TRAFFIC in model.tags:
            raise Conflict("A drill needs a model with one live version, whose traffic is not split by hand.")
        moment = self._clock()
        if _drill_until(model) > moment:
            raise Conflict("A drill of this model is under way. It ends by itself, or with DELETE.")
        until = moment + min(seconds, MAX_DRILL_SECONDS)
        drill = {"fault": fault, "rate": rate, "cohort": secrets.token_hex(8), "until": until, "by": who}
        self._registry.tag_model(name, names.TAG_DRILL, json.dumps(drill))
        return self._told(name, "drill", who) | {key: drill[key] for key in ("cohort", "fault", "rate", "until")}

    def end_drill(self, name: str, *, who: str) -> Json:
        """End the drill, if there is one."""
        self._tag(self._registered(name), names.TAG_DRILL, None)
        return self._told(name, "end_drill", who)

    # --- inside ---

    def _look(self, name: str) -> tuple[RegisteredModel, Standing]:
        model = self._registered(name)
        return model, standing(model, self._board.read().get(name))

    def _version(self, name: str, version: str) -> ModelVersion:
        try:
            return self._registry.version(name, version)
        except RegistryNotFound as error:
            raise ModelNotFound(f"{name}/{version}") from error

    def _told(self, name: str, command: str, who: str) -> Json:
        get_logger().info("command", command=command, model=name, subject=who)
        return self.model(name) | {"asked_at": self._clock()}

    def _tag(self, model: RegisteredModel, key: str, value: str | None) -> None:
        if model.tags.get(key) != value:
            self._registry.tag_model(model.name, key, value)

    def _control(self, model: RegisteredModel, word: str) -> None:
        self._tag(model, names.TAG_CONTROL, word)

    def _back(self, model: RegisteredModel, now: Standing, target: str | None, who: str) -> None:
        """Let alias or stage name `target` again."""
        if not now.by_stage:
            self._move(model, names.CHAMPION, target, who)
        elif now.wanted != target:
            self._sign(model.name, names.PRODUCTION, target, who)
            if now.wanted is not None:
                self._registry.move_stage(model.name, now.wanted, "Archived", who=who)
            if target is not None:
                self._registry.move_stage(model.name, target, names.PRODUCTION, who=who)

    def _move(self, model: RegisteredModel, alias: str, version: str | None, who: str) -> None:
        """Move `alias` from where it was seen. Somebody who moved it elsewhere meanwhile wins: raises RegistryConflict."""
        before = model.aliases.get(alias)
        if before == version:
            return
        self._registry.move_alias(model.name, alias, version, expected=before, who=who)
        self._sign_if_nobody_did(model.name, alias, version, who)

    def _sign_if_nobody_did(self, name: str, alias: str, version: str | None, who: str) -> None:
        """The guarded MLflow server writes the author down with the move; against any other server the desk has to.

        Afterwards, so that who loses a race never signs for the winner.
        """
        model = self._registry.model(name)
        if model.aliases.get(alias) == version and author_of(model, alias) is None:
            self._sign(name, alias, version, who)

    def _sign(self, name: str, moved: str, version: str | None, who: str) -> None:
        """Write down who asks. It says nothing of any other version."""
        author = Author(who, version, datetime.fromtimestamp(self._clock(), UTC))
        self._registry.tag_model(name, names.TAG_BY_PREFIX + moved, str(author))


def _refuse(reason: str | None) -> None:
    if reason is not None:
        raise Conflict(reason)


def _wants_two(model: RegisteredModel) -> bool:
    return model.tags.get(names.TAG_APPROVAL, "").strip().lower() == "required"


def _drill_until(model: RegisteredModel) -> float:
    """When the drill in the tag ends; 0 where there is none that can be read."""
    try:
        return float(json.loads(model.tags[names.TAG_DRILL])["until"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return 0.0
