//! How a command ends when it does not succeed: one clear line and an exit code.
//!
//! 1: it failed (the server, the disk, the network); the same command may work later. 2: the usage or
//! the input is wrong; it will not. A line says what to do next.

use std::process::ExitCode;

use crate::error::Error;

/// Why a command did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// Exit code 1.
    Failed(String),
    /// Exit code 2.
    Input(String),
    /// Whoever read standard output went away: no error.
    Unread,
}

impl Failure {
    /// Something outside failed.
    pub(super) fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }

    /// The usage or the input is wrong.
    pub(super) fn input(text: impl Into<String>) -> Self {
        Self::Input(text.into())
    }

    /// Standard output could not be written.
    pub(super) fn output(error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::Unread
        } else {
            Self::Failed(format!("cannot write the results: {error}"))
        }
    }

    /// Prints the line, if any, and gives the exit code.
    pub(super) fn finish(&self) -> ExitCode {
        match self {
            Self::Failed(text) => {
                crate::cli::out::note(&format!("selfsame: {text}"));
                ExitCode::from(1)
            }
            Self::Input(text) => {
                crate::cli::out::note(&format!("selfsame: {text}"));
                ExitCode::from(2)
            }
            Self::Unread => ExitCode::SUCCESS,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid { .. } | Error::TooLarge { .. } => Self::Input(error.to_string()),
            Error::Unauthenticated
            | Error::Denied(_)
            | Error::NotFound { .. }
            | Error::Moved { .. }
            | Error::Gone
            | Error::Conflict { .. }
            | Error::Busy { .. }
            | Error::Quota { .. }
            | Error::Full { .. }
            | Error::Io { .. }
            | Error::Corrupt { .. }
            | Error::Poisoned => Self::Failed(error.to_string()),
        }
    }
}
