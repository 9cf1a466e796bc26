//! Where other machines are: a name to its addresses.
//!
//! A trait, so that a test can answer otherwise the second time, which is what an attacker's name server does.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

/// An answer that comes later.
pub type Addresses<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// The addresses of machines.
pub trait Names: Send + Sync {
    /// All addresses of a name, or the one that an address spelt as text is.
    fn addresses<'a>(&'a self, host: &'a str) -> Addresses<'a>;
}

/// What the system says: its hosts file and its name servers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemNames;

impl Names for SystemNames {
    fn addresses<'a>(&'a self, host: &'a str) -> Addresses<'a> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Answers given by hand, in order, whatever the name; the last one for ever.
#[derive(Debug)]
pub struct FixedNames(Mutex<VecDeque<Vec<IpAddr>>>);

impl FixedNames {
    /// These answers.
    #[must_use]
    pub fn new(answers: impl IntoIterator<Item = Vec<IpAddr>>) -> Self {
        Self(Mutex::new(answers.into_iter().collect()))
    }
}

impl Names for FixedNames {
    fn addresses<'a>(&'a self, _host: &'a str) -> Addresses<'a> {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        let answer = next.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
        Box::pin(std::future::ready(answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_system_knows_itself_and_fixed_answers_come_in_order() {
        let here = SystemNames.addresses("127.0.0.1").await.unwrap();
        assert_eq!(here, [IpAddr::from([127, 0, 0, 1])]);
        let (one, two) = (IpAddr::from([1, 1, 1, 1]), IpAddr::from([2, 2, 2, 2]));
        let fixed = FixedNames::new([vec![one], vec![two]]);
        for expected in [one, two, two] {
            assert_eq!(fixed.addresses("x").await.unwrap(), [expected]);
        }
    }
}
