//! The binary: parse the arguments, run the command, turn its end into an exit code.

use std::process::ExitCode;

/// The allocator. Contacts are many small strings: mimalloc packs them tighter than the system's and
/// does not slow down when two cores allocate at once.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    selfsame::cli::main()
}
