//! The numbered exit codes. They are a promise to scripts: a number never changes its meaning.
//!
//! 125 to 127 are left alone because docker uses them; 1 is never used for an expected failure.

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// The command line could not be understood.
    Usage = 2,
    /// `ship.toml` has mistakes, or there is none.
    Config = 3,
    /// The surroundings: engine, credentials, network, permissions.
    Environment = 4,
    /// The plan was refused before anything was changed.
    Refused = 5,
    /// `plan --exit-code`: there is something to do.
    Changes = 6,
    /// The image could not be built, or a check of it failed.
    Build = 10,
    /// The image could not be pushed.
    Push = 11,
    /// The task definition could not be registered, or the service not updated.
    Register = 12,
    /// The rollout failed and the old revision still serves (or serves again).
    RolloutFailed = 20,
    /// The rollout failed; what serves is mixed or not known.
    RolloutUnknown = 21,
    /// The new revision serves; draining the old one did not finish in time.
    DrainUnfinished = 22,
    /// Another deployment replaced this one.
    Superseded = 23,
    /// A one-off task ended with an error.
    TaskFailed = 24,
    /// The rehearsed rollout succeeded and lost requests on the way.
    RequestsLost = 25,
    /// A bug in this program.
    Bug = 70,
    /// Cancelled by Ctrl-C, SIGTERM or the Docker CLI.
    Cancelled = 130,
}

impl Exit {
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Every code with its meaning, in the order of the documentation.
    pub const ALL: [(Self, &'static str); 17] = [
        (Self::Done, "done, or nothing to do"),
        (Self::Usage, "the command line could not be understood"),
        (Self::Config, "ship.toml has mistakes, or there is none"),
        (Self::Environment, "engine, credentials, network or permissions"),
        (Self::Refused, "refused before anything was changed"),
        (Self::Changes, "`plan --exit-code`: there is something to do"),
        (Self::Build, "the image could not be built, or a check of it failed"),
        (Self::Push, "the image could not be pushed"),
        (Self::Register, "the task definition could not be registered, or the service not updated"),
        (Self::RolloutFailed, "the rollout failed; the old revision serves"),
        (Self::RolloutUnknown, "the rollout failed; what serves is mixed or unknown"),
        (Self::DrainUnfinished, "the new revision serves; draining did not finish in time"),
        (Self::Superseded, "another deployment replaced this one"),
        (Self::TaskFailed, "a one-off task failed"),
        (Self::RequestsLost, "a rehearsal lost requests"),
        (Self::Bug, "a bug in docker-ecs-ship"),
        (Self::Cancelled, "cancelled"),
    ];
}
