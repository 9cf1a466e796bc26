//! The outside world as small traits, so that a test can be the world: clock, random, disk, names of
//! other machines.
//!
//! This is the only module that may call the system for time, randomness or files (clippy.toml
//! forbids it elsewhere). Each trait has the real implementation and one for tests: [`ManualClock`],
//! [`SeededRandom`], [`FixedNames`], and [`MemDisk`], which can crash, fill up and fail.

pub mod clock;
pub mod command;
pub mod disk;
pub mod mem_disk;
pub mod memory;
pub mod names;
pub mod random;
pub mod real_disk;
pub mod yielding;

pub use clock::{Clock, ManualClock, SystemClock};
pub use command::output_of;
pub use disk::{Disk, DiskFile, FileLock};
pub use mem_disk::{Fault, MemDisk};
pub use memory::resident_bytes;
pub use names::{FixedNames, Names, SystemNames};
pub use random::{Ids, OsRandom, Random, SeededRandom, uuid_v7};
pub use real_disk::RealDisk;
pub use yielding::let_others_go_first;
