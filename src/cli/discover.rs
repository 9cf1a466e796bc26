//! `discover`: who of an address book is in a directory? A whole client of oblivious look-ups, to use and to copy from.
//!
//! The identifiers are hashed and blinded here, the server evaluates what it cannot read, the proof is checked against the
//! public key, and the outputs are compared with the directory's filter or with some padded buckets. Only what is found is
//! asked to be revealed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::cli::args::Discover;
use crate::cli::client::Client;
use crate::cli::fail::Failure;
use crate::cli::out;
use crate::discovery::dialect::primary;
use crate::discovery::filter::Filter;
use crate::discovery::oprf::client::{Blinded, Refused, finalize, finalize_unproven};
use crate::discovery::oprf::{Dice, Element, Evaluated, Output, PROOF_BYTES, input};
use crate::discovery::{Inner, Kind};
use crate::host::{Disk, OsRandom, Random, RealDisk};
use crate::model::record::{Email, Fields, Phone};
use crate::model::settings::Settings;
use crate::normalize::{Normalizer, Rules};

/// Members up to which the filter is downloaded, unless something else is asked for.
const FILTER_MEMBERS_MAX: u64 = 2_000_000;
/// Identifiers of one run at most.
const IDENTIFIERS_MAX: usize = 1_000_000;
/// Bytes of a tag.
const TAG_BYTES: usize = 8;

/// One identifier of the address book, and what came of it.
struct Asked {
    /// As it was given.
    given: String,
    kind: Kind,
    inner: Inner,
    output: Option<Output>,
    found: bool,
    contact: Option<String>,
}

/// What the server says of its directory.
struct Directory {
    epoch: u64,
    public: Element,
    prefix_bits: u32,
    members: u64,
    batch_max: usize,
}

/// Runs the command.
pub(super) fn run(discover: &Discover, json: bool) -> Result<(), Failure> {
    let mut asked = read(discover)?;
    let client = Client::new(&discover.server)?;
    let directory = directory(&client, discover)?;
    for some in asked.chunks_mut(directory.batch_max.max(1)) {
        evaluate(&client, &directory, discover.no_proof, some)?;
    }
    let by_filter = discover.by.as_deref().map_or(directory.members <= FILTER_MEMBERS_MAX, |by| by == "filter");
    if by_filter {
        compare_with_filter(&client, &directory, &mut asked)?;
    } else {
        compare_with_buckets(&client, &directory, &mut asked)?;
    }
    if !discover.no_reveal {
        reveal(&client, &directory, discover.asker.as_deref(), &mut asked)?;
    }
    show(&asked, &directory, json)
}

/// The identifiers of all arguments: a file's lines, or the argument itself.
fn read(discover: &Discover) -> Result<Vec<Asked>, Failure> {
    let settings = Settings { default_region: discover.default_region.clone(), ..Settings::default() };
    let normalizer = Normalizer::new(Rules::from_settings(&settings));
    let mut asked = Vec::new();
    for argument in &discover.contacts {
        let path = std::path::Path::new(argument);
        let is_file = RealDisk.exists(path).unwrap_or(false);
        let text = if is_file {
            let bytes = RealDisk.read(path);
            let bytes = bytes.map_err(|error| Failure::input(format!("{} cannot be read: {error}", path.display())))?;
            String::from_utf8_lossy(&bytes).into_owned()
        } else {
            argument.clone()
        };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            asked.push(identifier(&normalizer, line)?);
        }
    }
    if asked.is_empty() || asked.len() > IDENTIFIERS_MAX {
        return Err(Failure::input(format!("give 1 to {IDENTIFIERS_MAX} phone numbers and email addresses")));
    }
    Ok(asked)
}

fn identifier(normalizer: &Normalizer, given: &str) -> Result<Asked, Failure> {
    let is_email = given.contains('@');
    let mut fields = Fields::default();
    if is_email {
        fields.emails = vec![Email { value: given.to_owned(), ..Email::default() }];
    } else {
        fields.phones = vec![Phone { value: given.to_owned(), ..Phone::default() }];
    }
    let (read, _) = normalizer.normalize(&fields);
    let email = read.emails.first().map(|one| (Kind::Email, one.delivered.clone()));
    let phone = read.phones.first().filter(|one| one.e164.starts_with('+')).map(|one| (Kind::Phone, one.e164.clone()));
    let wrong = || Failure::input(format!("{}: is no phone number or email address", out::clean(given)));
    let (kind, text) = if is_email { email } else { phone }.ok_or_else(wrong)?;
    let (given, inner) = (given.to_owned(), primary(&text));
    Ok(Asked { given, kind, inner, output: None, found: false, contact: None })
}

fn directory(client: &Client, discover: &Discover) -> Result<Directory, Failure> {
    let said = client.get(&client.of_tenant("discovery/oprf"))?;
    let number = |field: &str| said.get(field).and_then(Value::as_u64).ok_or_else(strange);
    let text = said.get("public_key").and_then(Value::as_str).unwrap_or_default();
    match &discover.public_key {
        Some(pinned) if pinned != text => {
            let said = out::clean(text);
            return Err(Failure::failed(format!(
                "the server's public key is {said}, not the one given; nothing was asked"
            )));
        }
        Some(_) => {}
        None => out::note(&format!("The public key is {}; give it as --public-key the next time.", out::clean(text))),
    }
    Ok(Directory {
        epoch: number("epoch")?,
        public: decode(text)?,
        prefix_bits: u32::try_from(number("prefix_bits")?).map_err(|_| strange())?,
        members: number("set_size_class")?,
        batch_max: usize::try_from(number("max_batch")?).map_err(|_| strange())?,
    })
}

/// Blinds, has evaluated, checks, unblinds.
fn evaluate(client: &Client, directory: &Directory, no_proof: bool, asked: &mut [Asked]) -> Result<(), Failure> {
    let mut seed = [0; 32];
    OsRandom.fill(&mut seed);
    let mut dice = Dice::new(&seed);
    let blind = |one: &Asked| Blinded::new(input(one.kind, &one.inner), &mut dice).ok_or_else(strange);
    let blinded: Vec<Blinded> = asked.iter().map(blind).collect::<Result<_, _>>()?;
    let elements: Vec<String> = blinded.iter().map(|one| URL_SAFE_NO_PAD.encode(one.element())).collect();
    let body = json!({"epoch": directory.epoch, "blinded": elements, "proof": !no_proof});
    let answer = client.post(&client.of_tenant("discovery/oprf/evaluate"), &body)?;
    let list = answer.get("evaluated").and_then(Value::as_array).ok_or_else(strange)?;
    let elements = list.iter().map(|one| decode(one.as_str().unwrap_or_default())).collect::<Result<_, _>>()?;
    let proof = answer.get("proof").and_then(Value::as_str).map(decode::<PROOF_BYTES>).transpose()?;
    let evaluated = Evaluated { elements, proof };
    let outputs = if no_proof {
        finalize_unproven(&blinded, &evaluated)
    } else {
        finalize(&blinded, &evaluated, &directory.public)
    };
    let outputs = outputs.map_err(refused)?;
    asked.iter_mut().zip(outputs).for_each(|(one, output)| one.output = Some(output));
    Ok(())
}

fn compare_with_filter(client: &Client, directory: &Directory, asked: &mut [Asked]) -> Result<(), Failure> {
    let path = client.of_tenant(&format!("discovery/oprf/filter?epoch={}", directory.epoch));
    let bytes = client.get_bytes(&path)?;
    let filter = Filter::parse(&bytes).ok_or_else(strange)?;
    let since = tags(&client.get_bytes(&format!("{path}&delta=true"))?);
    for one in asked {
        one.found = one.output.is_some_and(|y| filter.contains(y.tag) || since.binary_search(&y.tag).is_ok());
    }
    Ok(())
}

fn compare_with_buckets(client: &Client, directory: &Directory, asked: &mut [Asked]) -> Result<(), Failure> {
    for some in asked.chunks_mut(directory.batch_max.max(1)) {
        let prefixes: Vec<String> = some.iter().map(|one| prefix(one, directory.prefix_bits)).collect();
        let body = json!({"epoch": directory.epoch, "prefixes": prefixes});
        let answer = client.post_for_bytes(&client.of_tenant("discovery/oprf/buckets"), &body)?;
        let mut rest = &answer[..];
        for one in some {
            let (count, tail) = rest.split_first_chunk::<2>().ok_or_else(strange)?;
            let bytes = usize::from(u16::from_be_bytes(*count)) * TAG_BYTES;
            let (bucket, tail) = tail.split_at_checked(bytes).ok_or_else(strange)?;
            one.found = one.output.is_some_and(|y| tags(bucket).binary_search(&y.tag).is_ok());
            rest = tail;
        }
    }
    Ok(())
}

/// The first bits of an output as hexadecimal digits, filled up with zero bits.
fn prefix(one: &Asked, bits: u32) -> String {
    let tag = one.output.map_or(0, |output| output.tag);
    let digits = bits.div_ceil(4);
    if digits == 0 {
        return String::new();
    }
    let kept = (tag >> (u64::BITS - bits)) << (digits * 4 - bits);
    format!("{kept:0width$x}", width = digits as usize)
}

fn tags(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks::<TAG_BYTES>().0.iter().map(|tag| u64::from_be_bytes(*tag)).collect()
}

/// Asks who those are that were found.
fn reveal(client: &Client, directory: &Directory, asker: Option<&str>, asked: &mut [Asked]) -> Result<(), Failure> {
    let mut found: Vec<&mut Asked> = asked.iter_mut().filter(|one| one.found).collect();
    for some in found.chunks_mut(directory.batch_max.max(1)) {
        let keys = some.iter().filter_map(|one| Some(URL_SAFE_NO_PAD.encode(one.output?.reveal)));
        let mut body = json!({"epoch": directory.epoch, "keys": keys.collect::<Vec<_>>()});
        if let (Some(asker), Some(body)) = (asker, body.as_object_mut()) {
            body.insert("asker".to_owned(), asker.into());
        }
        let answer = client.post(&client.of_tenant("discovery/reveal"), &body)?;
        let results = answer.get("results").and_then(Value::as_array).ok_or_else(strange)?;
        for (one, result) in some.iter_mut().zip(results) {
            one.contact = result.get("contact").and_then(Value::as_str).map(str::to_owned);
        }
    }
    Ok(())
}

fn show(asked: &[Asked], directory: &Directory, json: bool) -> Result<(), Failure> {
    if json {
        let one = |one: &Asked| json!({"identifier": one.given, "found": one.found, "contact": one.contact});
        return out::json(&json!({"epoch": directory.epoch, "results": asked.iter().map(one).collect::<Vec<_>>()}));
    }
    let mut table = out::table(&["identifier", "in the directory", "contact id"]);
    for one in asked {
        let found = if one.found { "yes" } else { "no" };
        table.add_row(vec![
            out::clean(&one.given),
            found.to_owned(),
            out::clean(one.contact.as_deref().unwrap_or_default()),
        ]);
    }
    out::line(&table.to_string())
}

fn decode<const N: usize>(text: &str) -> Result<[u8; N], Failure> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| strange())?;
    bytes.try_into().map_err(|_| strange())
}

fn strange() -> Failure {
    Failure::failed("the server's answer cannot be read; is it another version than this program?")
}

fn refused(why: Refused) -> Failure {
    Failure::failed(match why {
        Refused::Proof => {
            "the server's proof does not hold: it did not use the key it shows; nothing of its answer was used"
        }
        Refused::PublicKey => "the server's public key is none",
        Refused::Malformed => "the server's answer is no evaluation",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_read_and_hashed_as_the_server_does() {
        let normalizer = Normalizer::new(Rules::default());
        for (given, canonical, kind) in [
            ("(650) 555-1212", "+16505551212", Kind::Phone),
            ("+44 20 7946 0000", "+442079460000", Kind::Phone),
            (" J.Smith@GMAIL.com", "j.smith@gmail.com", Kind::Email),
        ] {
            let one = identifier(&normalizer, given).unwrap_or_else(|_| panic!("{given}"));
            assert!(one.inner == primary(canonical) && one.kind == kind, "{given}");
        }
        for bad in ["", "hello", "@"] {
            assert!(matches!(identifier(&normalizer, bad), Err(Failure::Input(_))), "{bad}");
        }
    }

    #[test]
    fn prefixes_are_as_the_server_reads_them() {
        let normalizer = Normalizer::new(Rules::default());
        let mut one = identifier(&normalizer, "+16505551212").unwrap_or_else(|_| panic!("a number"));
        one.output = Output::of(&[0xa4, 0x1f, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        for (bits, text) in [(0, ""), (1, "8"), (3, "a"), (4, "a"), (5, "a0"), (16, "a41f"), (13, "a418")] {
            assert_eq!(prefix(&one, bits), text, "{bits}");
        }
    }
}
