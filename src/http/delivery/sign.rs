//! The signature of a delivery: HMAC-SHA256 (RFC 2104, FIPS 180-4) over `timestamp.body`, as lower-case hex.
//!
//! The timestamp is signed too, so that a receiver can refuse a delivery that somebody recorded and sends again later.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Signs a body sent at `timestamp` (seconds since 1970, as the header has it).
pub(super) fn signature(secret: &str, timestamp: &str, body: &[u8]) -> String {
    hex(&mac(secret.as_bytes(), &[timestamp.as_bytes(), b".", body]))
}

/// HMAC-SHA256 over the parts, one after the other.
fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, cases 1, 2, 6 and 7: key, data, HMAC-SHA-256.
    #[test]
    fn the_vectors_of_rfc_4231() {
        let long = [0xaa; 131];
        for (key, data, expected) in [
            (&[0x0b; 20][..], &b"Hi There"[..], "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &long,
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
            (
                &long,
                b"This is a test using a larger than block-size key and a larger than block-size data. \
                  The key needs to be hashed before being used by the HMAC algorithm.",
                "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
            ),
        ] {
            assert_eq!(hex(&mac(key, &[data])), expected);
            let (left, right) = data.split_at(5);
            assert_eq!(hex(&mac(key, &[left, right])), expected);
        }
    }

    #[test]
    fn the_timestamp_is_signed_too() {
        let signed = signature("Jefe", "1800000000", b"{}");
        assert_eq!(signed, hex(&mac(b"Jefe", &[b"1800000000.{}"])));
        for (secret, timestamp, body) in
            [("jefe", "1800000000", "{}"), ("Jefe", "1800000001", "{}"), ("Jefe", "1800000000", "{ }")]
        {
            assert_ne!(signed, signature(secret, timestamp, body.as_bytes()));
        }
    }
}
