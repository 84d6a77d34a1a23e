"""The errors of the model, each with what the operator should do.

::

    ModelError
    ├── SettingsInvalid          a setting has a value that cannot work
    ├── ArtifactError            a generation or the artifact folder cannot be used
    │   ├── GenerationMissing    it is not there (retriable: it may appear)
    │   ├── GenerationCorrupt    it exists but is damaged
    │   ├── PretrainedTextUnusable   its text encoder is not installed, or is another
    │   ├── SegmentRefused       a segment of an overlay cannot be used
    │   ├── OverlayLocked        another refresher writes overlays (retriable)
    │   └── TrainingLocked       another training makes a generation (retriable)
    ├── TrainingRefused          the snapshot cannot be trained on
    ├── TrainingFailed           training went wrong (retriable)
    ├── TrainingCancelled          the caller cancelled training (retriable)
    ├── SinkUnavailable          the database of a sink does not answer (retriable)
    ├── SinkRefused              the database of a sink cannot be used
    ├── RankLost                 a rank of a training cannot go on (retriable)
    ├── RankFailed               the first rank of a training ended with an error
    ├── EvaluationRefused        the log has nothing to evaluate on
    └── GateRefused              the new generation is worse than it may be
"""


class ModelError(Exception):
    """An expected error of the model package.

    The message says what, where and what to do.

    Attributes:
        retriable: the same call may succeed later without a change.
    """

    retriable = False


class SettingsInvalid(ModelError):
    """A setting has a value that cannot work.

    Correct it; the message names the key and the bounds.
    """


class ArtifactError(ModelError):
    """A generation or the artifact folder cannot be used.

    Check the path and its permissions.
    """


class GenerationMissing(ArtifactError):
    """The generation is not there.

    Train one, or choose another: it may also still appear.
    """

    retriable = True


class GenerationCorrupt(ArtifactError):
    """The generation's files do not agree with its manifest.

    Roll back to another one, or train again.
    """


class PretrainedTextUnusable(ArtifactError):
    """A pretrained text encoder is not installed, damaged, or another than the one that
    a generation was trained with.

    Install what the message names, and start again; or train again without it.
    """


class SegmentRefused(ArtifactError):
    """A segment of an overlay, or the pointer to the newest one, cannot be used.

    It changes nothing; start the refresher again, and it writes a full one.

    Attributes:
        fault: the kind of failure, see `model.artifact.overlay.segment.SegmentFault`.
    """

    def __init__(self, fault: str, message: str) -> None:
        super().__init__(message)
        self.fault = fault


class OverlayLocked(ArtifactError):
    """Another refresher writes the overlays of this artifacts folder.

    Stop one of the two; the other goes on.
    """

    retriable = True


class TrainingLocked(ArtifactError):
    """Another training makes a generation in this artifacts folder.

    Wait for its end, or stop it. A tuner waits by itself.
    """

    retriable = True


class TrainingRefused(ModelError):
    """Nothing to learn from, settings or memory do not fit.

    Feed events, or follow the message.
    """


class EvaluationRefused(ModelError):
    """The log has nothing to evaluate on.

    Give a longer one, with queries, and its catalogue.
    """


class TrainingFailed(ModelError):
    """Training made no model (NaN, no memory, no time).

    Try another seed, smaller steps, more time.
    """

    retriable = True


class TrainingCancelled(ModelError):
    """The caller cancelled training before it was done.

    Nothing was published; start it again when wanted.
    """

    retriable = True


class SinkUnavailable(ModelError):
    """The database that a sink writes to does not answer, or is busy.

    Check address, password and server: the sink tries again at each look.
    """

    retriable = True


class SinkRefused(ModelError):
    """The database that a sink writes to cannot be used as it is.

    Do what the message says: pgvector is missing, rights are, or another sink writes.
    """


class RankLost(ModelError):
    """A rank of a training is gone, or cannot go on.

    Start all ranks again, as `torchrun` does with ``--max-restarts``: the training
    resumes from its last saved state.
    """

    retriable = True


class RankFailed(ModelError):
    """The first rank of a training ended with an error, and the others with it.

    The message has the first rank's error; do what that one says.
    """


class GateRefused(ModelError):
    """The new generation is on disk but must not go live; the message has the reasons.

    The live generation stays; FreshetTunerFailing says what to look at.

    Attributes:
        generation_id: the refused generation.
        reasons: why, one sentence each.
    """

    def __init__(self, generation_id: str, reasons: tuple[str, ...]) -> None:
        super().__init__(f"generation {generation_id} was refused: {'; '.join(reasons)}")
        self.generation_id = generation_id
        self.reasons = reasons
