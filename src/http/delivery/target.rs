//! Where a webhook may go.
//!
//! A URL is somebody's word, so it must not lead the server to what only the server can reach: `https` only, no user
//! info, and no address but a public one. A name is checked after its resolution, and the very address that was checked
//! is the one connected to (see `client`), so that a name which answers otherwise the second time gains nothing.
//! `webhooks_allow_private` lifts all of it, for receivers beside the server and for tests.
//!
//! The special ranges are those of IANA's special-purpose registries for IPv4 and IPv6 (RFC 6890 and its updates).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hyper::Uri;
use hyper::http::uri::Scheme;

use crate::error::{Error, Result};

/// Bytes of a URL at most.
pub(in crate::http) const URL_BYTES_MAX: usize = 2048;
/// The field that errors name.
const FIELD: &str = "url";

/// A checked URL in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) struct Target {
    /// TLS, or plain.
    pub(super) tls: bool,
    /// Name, or address without brackets.
    pub(super) host: String,
    /// Port to connect to.
    pub(super) port: u16,
    /// As the header `Host` has it.
    pub(in crate::http) authority: String,
    /// Path and parameters.
    pub(in crate::http) path: String,
}

impl Target {
    /// Reads a URL and checks all that can be checked without resolving its name.
    ///
    /// # Errors
    /// `Invalid` for the field `url`, with the rule that it breaks.
    pub(in crate::http) fn parse(url: &str, allow_private: bool) -> Result<Self> {
        let refused = |reason: &str| Error::invalid(FIELD, reason);
        if url.is_empty() || url.len() > URL_BYTES_MAX {
            return Err(refused(&format!("has {} bytes; it may have 1 to {URL_BYTES_MAX}", url.len())));
        }
        if url.contains('#') {
            return Err(refused("has a fragment (`#`), which no server gets to see; leave it out"));
        }
        let uri: Uri = url.parse().map_err(|_| refused("is no URL; write for example https://example.com/hook"))?;
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP && allow_private => false,
            _ => return Err(refused("must begin with https://")),
        };
        let authority = uri.authority().ok_or_else(|| refused("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(refused("holds a user or a password; the signature tells who is calling, leave them out"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(refused("names no host"));
        }
        let port = match authority.as_str().strip_prefix(authority.host()).and_then(|rest| rest.strip_prefix(':')) {
            None => Some(if tls { 443 } else { 80 }),
            Some(digits) => digits.parse::<u16>().ok().filter(|port| *port > 0),
        };
        let port = port.ok_or_else(|| refused("names a port that is none; it may be 1 to 65535"))?;
        if let Ok(address) = host.parse::<IpAddr>() {
            check(address, allow_private)?;
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { tls, host, port, authority: authority.as_str().to_owned(), path })
    }

    /// Checks the addresses that the name resolved to: all must be allowed.
    ///
    /// # Errors
    /// `Invalid` for the field `url`.
    pub(in crate::http) fn check_addresses(&self, addresses: &[IpAddr], allow_private: bool) -> Result<()> {
        addresses.iter().try_for_each(|address| check(*address, allow_private))
    }
}

fn check(address: IpAddr, allow_private: bool) -> Result<()> {
    match special(address).filter(|_| !allow_private) {
        None => Ok(()),
        Some(what) => Err(Error::invalid(
            FIELD,
            format!(
                "leads to {what} address; only public ones are called, unless the server runs with webhooks_allow_private = true"
            ),
        )),
    }
}

/// What keeps an address from being a public one; `None`: it is one.
fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets() {
        [0, ..] => Some("an unspecified"),
        [127, ..] => Some("a loopback"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some("a private"),
        [100, 64..=127, ..] => Some("a shared (CGNAT)"),
        [169, 254, ..] => Some("a link-local"),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Some("a documentation"),
        [192, 0, 0, _] | [192, 88, 99, _] | [198, 18..=19, ..] => Some("a special-purpose"),
        [224..=239, ..] => Some("a multicast"),
        [240..=255, ..] => Some("a reserved"),
        _ => None,
    }
}

/// Only 2000::/3 is given out as public; within it are ranges that lead elsewhere or nowhere.
fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("an unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("a loopback"),
        [0, 0, 0, 0, 0, 0xffff, ..] => Some("an IPv4-mapped"),
        [0x0064, 0xff9b, ..] => Some("an IPv4-translated"),
        [0xfc00..=0xfdff, ..] => Some("a unique-local"),
        [0xfe80..=0xfebf, ..] => Some("a link-local"),
        [0xff00..=0xffff, ..] => Some("a multicast"),
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Some("a documentation"),
        [0x2001, 0..=0x01ff, ..] | [0x2002, ..] => Some("a tunnelled or special-purpose"),
        [0x2000..=0x3fff, ..] => None,
        _ => Some("a reserved"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_urls_say_why() {
        for (url, why) in [
            ("", "bytes"),
            ("example.com/hook", "https://"),
            ("ftp://example.com", "https://"),
            ("http://example.com", "https://"),
            ("/hook", "https://"),
            ("https://", "no URL"),
            ("https://:443/x", "host"),
            ("https://user@example.com/", "user"),
            ("https://user:secret@example.com/", "user"),
            ("https://example.com/#part", "fragment"),
            ("https://exam ple.com/", "no URL"),
            ("https://example.com:0/", "1 to 65535"),
            ("https://example.com:/", "1 to 65535"),
            ("https://example.com:99999/", "1 to 65535"),
            ("https://127.0.0.1/", "a loopback"),
            ("https://[::1]:8443/x", "a loopback"),
            ("https://[::ffff:8.8.8.8]/", "an IPv4-mapped"),
            ("https://169.254.169.254/latest/meta-data", "a link-local"),
        ] {
            let error = Target::parse(url, false).unwrap_err().to_string();
            assert!(error.starts_with("url: ") && error.contains(why) && !error.contains("secret"), "{url}: {error}");
        }
        let long = format!("https://example.com/{}", "x".repeat(URL_BYTES_MAX));
        assert!(Target::parse(&long, true).unwrap_err().to_string().contains("2048"));
    }

    #[test]
    fn a_url_is_taken_apart() {
        let target = Target::parse("https://hooks.example.com/a/b?c=d", false).unwrap();
        let expected = (true, "hooks.example.com", 443, "hooks.example.com", "/a/b?c=d");
        assert_eq!((target.tls, &*target.host, target.port, &*target.authority, &*target.path), expected);
        let target = Target::parse("http://[::1]:8080", true).unwrap();
        assert_eq!(
            (target.tls, &*target.host, target.port, &*target.authority, &*target.path),
            (false, "::1", 8080, "[::1]:8080", "/")
        );
        assert!(Target::parse("https://user@example.com/", true).is_err(), "user info is refused in any case");
    }

    #[test]
    fn only_public_addresses_are_called() {
        for (address, expected) in [
            ("8.8.8.8", None),
            ("100.63.255.255", None),
            ("172.32.0.1", None),
            ("2606:4700::1111", None),
            ("2a00:1450:4001::1", None),
            ("0.0.0.0", Some("unspecified")),
            ("10.1.2.3", Some("private")),
            ("172.16.0.1", Some("private")),
            ("172.31.255.255", Some("private")),
            ("192.168.1.1", Some("private")),
            ("100.64.0.1", Some("CGNAT")),
            ("100.127.255.255", Some("CGNAT")),
            ("127.8.9.1", Some("loopback")),
            ("169.254.169.254", Some("link-local")),
            ("192.0.0.8", Some("special")),
            ("192.0.2.1", Some("documentation")),
            ("198.51.100.9", Some("documentation")),
            ("203.0.113.9", Some("documentation")),
            ("198.19.0.1", Some("special")),
            ("224.0.0.1", Some("multicast")),
            ("239.255.255.255", Some("multicast")),
            ("240.0.0.1", Some("reserved")),
            ("255.255.255.255", Some("reserved")),
            ("::", Some("unspecified")),
            ("::1", Some("loopback")),
            ("::ffff:8.8.8.8", Some("IPv4-mapped")),
            ("::8.8.8.8", Some("reserved")),
            ("64:ff9b::7f00:1", Some("IPv4-translated")),
            ("fc00::1", Some("unique-local")),
            ("fdff::1", Some("unique-local")),
            ("fe80::1", Some("link-local")),
            ("fec0::1", Some("reserved")),
            ("ff02::1", Some("multicast")),
            ("2001:db8::1", Some("documentation")),
            ("3fff:fff::1", Some("documentation")),
            ("2001::1", Some("tunnelled")),
            ("2002:7f00:1::", Some("tunnelled")),
            ("4000::1", Some("reserved")),
        ] {
            let said = special(address.parse().unwrap());
            match expected {
                None => assert_eq!(said, None, "{address}"),
                Some(expected) => assert!(said.is_some_and(|said| said.contains(expected)), "{address}: {said:?}"),
            }
            assert!(check(address.parse().unwrap(), true).is_ok());
        }
    }

    #[test]
    fn one_private_address_among_public_ones_is_enough() {
        let target = Target::parse("https://example.com", false).unwrap();
        let (public, inside) = (IpAddr::from([8, 8, 8, 8]), IpAddr::from([10, 0, 0, 1]));
        assert!(target.check_addresses(&[public], false).is_ok());
        assert!(target.check_addresses(&[public, inside], false).is_err());
        assert!(target.check_addresses(&[public, inside], true).is_ok());
    }
}
