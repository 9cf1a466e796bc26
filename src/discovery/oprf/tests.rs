//! The vectors of RFC 9497, appendix A.1, malformed points, and the two sides against each other.

use proptest::prelude::{ProptestConfig, any, prop, prop_assert_eq, prop_assume, proptest};
use voprf::{EvaluationElement, OprfClient, Proof, VoprfClient};

use super::client::{Blinded, Refused, finalize, finalize_unproven};
use super::*;
use crate::discovery::dialect::primary;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
}

fn element(hex: &str) -> Element {
    bytes(hex).try_into().unwrap()
}

/// Gives out what it was given: the scalars of the vectors.
struct Given(Vec<u8>);

impl RngCore for Given {
    fn next_u32(&mut self) -> u32 {
        unreachable!("scalars are made of bytes")
    }
    fn next_u64(&mut self) -> u64 {
        unreachable!("scalars are made of bytes")
    }
    fn fill_bytes(&mut self, dest: &mut [u8]) {
        // A scalar is 64 bytes modulo the group's order; the upper half 0 gives the lower half as it is.
        let (low, high) = dest.split_at_mut(32);
        low.copy_from_slice(&self.0.drain(..32).collect::<Vec<u8>>());
        high.fill(0);
    }
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}
impl CryptoRng for Given {}

const SEED: [u8; 32] = [0xa3; 32];
const BLIND: &str = "64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706";
const SECOND_BLIND: &str = "222a5e897cf59db8145db8d16e597e8facb80ae7d4e26d9881aa6f61d645fc0e";
const LONG: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";
const PUBLIC: &str = "c803e2cc6b05fc15064549b5920659ca4a77b2cca6f04f6b357009335476ad4e";
const OUTPUTS: [&str; 2] = [
    "b58cfbe118e0cb94d79b5fd6a6dafb98764dff49c14e1770b566e42402da1a7da4d8527693914139caee5bd03903af43a491351d23b430948dd50cde10d32b3c",
    "8a9a2f3c7f085b65933594309041fc1898d42d0858e59f90814ae90571a6df60356f4610bf816f27afdd84f47719e480906d27ecd994985890e5f539e7ea74b6",
];

/// Inputs, blinds, blinded elements, evaluated elements, proof, the proof's random scalar, outputs: A.1.2.
type Vector = (
    &'static [&'static str],
    &'static [&'static str],
    &'static [&'static str],
    &'static [&'static str],
    &'static str,
    &'static str,
    &'static [&'static str],
);

const VECTORS: [Vector; 3] = [
    (
        &["00"],
        &[BLIND],
        &["863f330cc1a1259ed5a5998a23acfd37fb4351a793a5b3c090b642ddc439b945"],
        &["aa8fa048764d5623868679402ff6108d2521884fa138cd7f9c7669a9a014267e"],
        "ddef93772692e535d1a53903db24367355cc2cc78de93b3be5a8ffcc6985dd066d4346421d17bf5117a2a1ff0fcb2a759f58a539dfbe857a40bce4cf49ec600d",
        SECOND_BLIND,
        &[OUTPUTS[0]],
    ),
    (
        &[LONG],
        &[BLIND],
        &["cc0b2a350101881d8a4cba4c80241d74fb7dcbfde4a61fde2f91443c2bf9ef0c"],
        &["60a59a57208d48aca71e9e850d22674b611f752bed48b36f7a91b372bd7ad468"],
        "401a0da6264f8cf45bb2f5264bc31e109155600babb3cd4e5af7d181a2c9dc0a67154fabf031fd936051dec80b0b6ae29c9503493dde7393b722eafdf5a50b02",
        SECOND_BLIND,
        &[OUTPUTS[1]],
    ),
    (
        &["00", LONG],
        &[BLIND, SECOND_BLIND],
        &[
            "863f330cc1a1259ed5a5998a23acfd37fb4351a793a5b3c090b642ddc439b945",
            "90a0145ea9da29254c3a56be4fe185465ebb3bf2a1801f7124bbbadac751e654",
        ],
        &[
            "aa8fa048764d5623868679402ff6108d2521884fa138cd7f9c7669a9a014267e",
            "cc5ac221950a49ceaa73c8db41b82c20372a4c8d63e5dded2db920b7eee36a2a",
        ],
        "cc203910175d786927eeb44ea847328047892ddf8590e723c37205cb74600b0a5ab5337c8eb4ceae0494c2cf89529dcf94572ed267473d567aeed6ab873dee08",
        "419c4f4f5052c53c45f3da494d2b67b220d02118e0857cdbcf037f9ea84bbe0c",
        &OUTPUTS,
    ),
];

fn vector_key() -> EpochKey {
    EpochKey::from_seed(&SEED, b"test key", 1).unwrap()
}

#[test]
fn vectors_of_mode_voprf() {
    let key = vector_key();
    assert_eq!(*key.public_key(), element(PUBLIC));
    for (inputs, blinds, blinded, evaluated, proof, scalar, outputs) in VECTORS {
        let blind = |(input, blind): (&&str, &&str)| {
            VoprfClient::<Ristretto255>::blind(&bytes(input), &mut Given(bytes(blind))).unwrap()
        };
        let clients: Vec<_> = inputs.iter().zip(blinds).map(blind).collect();
        let sent: Vec<Element> = clients.iter().map(|one| one.message.serialize().into()).collect();
        assert_eq!(sent, blinded.iter().map(|hex| element(hex)).collect::<Vec<_>>());
        let answer = key.evaluate_proven(&points(&sent), &mut Given(bytes(scalar)));
        assert_eq!(answer.elements, evaluated.iter().map(|hex| element(hex)).collect::<Vec<_>>());
        assert_eq!(answer.proof.unwrap().to_vec(), bytes(proof));
        // The element without a proof is the identical one.
        assert_eq!(key.evaluate(&points(&sent), None), Evaluated { proof: None, ..answer.clone() });
        let inputs: Vec<Vec<u8>> = inputs.iter().map(|hex| bytes(hex)).collect();
        let states: Vec<_> = clients.iter().map(|one| one.state.clone()).collect();
        let elements: Vec<_> = answer.elements.iter().map(|one| EvaluationElement::deserialize(one).unwrap()).collect();
        let proof = Proof::deserialize(&answer.proof.unwrap()).unwrap();
        let public = <Ristretto255 as voprf::Group>::deserialize_elem(key.public_key()).unwrap();
        let found = VoprfClient::batch_finalize(&inputs, &states, &elements, &proof, public).unwrap();
        let expected: Vec<Vec<u8>> = outputs.iter().map(|hex| bytes(hex)).collect();
        assert_eq!(found.map(|y| y.unwrap().to_vec()).collect::<Vec<_>>(), expected);
        for (input, y) in inputs.iter().zip(&expected) {
            assert_eq!(key.proving.evaluate(input).unwrap().to_vec(), *y, "known inputs have the same output");
        }
    }
}

/// A.1.1: another context, another key, another output for the same input; these must never be mixed.
#[test]
fn vectors_of_mode_oprf_differ() {
    let server = OprfServer::<Ristretto255>::new_from_seed(&SEED, b"test key").unwrap();
    assert_eq!(server.serialize().to_vec(), bytes("5ebcea5ee37023ccb9fc2d2019f9d7737be85591ae8652ffa9ef0f4d37063b0e"));
    for (input, y) in [
        (
            "00",
            "527759c3d9366f277d8c6020418d96bb393ba2afb20ff90df23fb7708264e2f3ab9135e3bd69955851de4b1f9fe8a0973396719b7912ba9ee8aa7d0b5e24bcf6",
        ),
        (
            LONG,
            "f4a74c9c592497375e796aa837e907b1a045d34306a749db9f34221f7e750cb4f2a6413a6bf6fa5e19ba6348eb673934a722a7ede2e7621306d18951e7cf2c73",
        ),
    ] {
        let client = OprfClient::<Ristretto255>::blind(&bytes(input), &mut Given(bytes(BLIND))).unwrap();
        let evaluated = server.blind_evaluate(&client.message);
        assert_eq!(client.state.finalize(&bytes(input), &evaluated).unwrap().to_vec(), bytes(y));
        assert!(!OUTPUTS.contains(&y));
    }
}

#[test]
fn what_is_no_element_is_named_and_nothing_is_evaluated() {
    let good = element(VECTORS[0].2[0]);
    let identity = [0; 32];
    let mut odd = [0; 32];
    odd[0] = 1;
    let mut above = good;
    above[31] |= 0x80;
    // The field's order and what follows: the encodings 0 and 1 once more, which a careless reader takes.
    let prime = element("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
    let after = element("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
    for bad in [identity, [0xff; 32], odd, above, prime, after] {
        assert_eq!(Points::read(&[good, good, bad, good]).err(), Some(Malformed(2)), "{bad:?}");
    }
    assert!(Points::read(&[good; BATCH_MAX]).is_ok());
    assert_eq!(Points::read(&[good; BATCH_MAX + 1]).err(), Some(Malformed(BATCH_MAX)));
}

fn points(elements: &[Element]) -> Points {
    Points::read(elements).unwrap()
}

fn blinds(identifiers: &[String], seed: u8) -> Vec<Blinded> {
    let mut dice = Dice::new(&[seed; 32]);
    let blind = |one: &String| Blinded::new(input(Kind::Phone, &primary(one)), &mut dice).unwrap();
    identifiers.iter().map(blind).collect()
}

#[test]
fn an_answer_under_another_key_is_refused_by_its_proof() {
    let book = ["+16505551212".to_owned(), "+442079460000".to_owned()];
    let (mine, other) = (vector_key(), EpochKey::from_seed(&SEED, b"another key", 1).unwrap());
    let sent = blinds(&book, 1);
    let elements: Vec<Element> = sent.iter().map(|one| *one.element()).collect();
    let sent_points = points(&elements);
    let answer = mine.evaluate(&sent_points, Some(Dice::new(&[9; 32])));
    assert!(finalize(&sent, &answer, mine.public_key()).is_ok());
    assert_eq!(finalize(&sent, &answer, other.public_key()), Err(Refused::Proof), "the pinned key is another");
    let tagged = other.evaluate(&sent_points, Some(Dice::new(&[8; 32])));
    assert_eq!(finalize(&sent, &tagged, mine.public_key()), Err(Refused::Proof), "a key for this caller alone");
    let mut mixed = answer.clone();
    mixed.elements[1] = tagged.elements[1];
    assert_eq!(finalize(&sent, &mixed, mine.public_key()), Err(Refused::Proof), "one element of another key");
    mixed.elements.pop();
    assert_eq!(finalize(&sent, &mixed, mine.public_key()), Err(Refused::Malformed));
    assert_eq!(
        finalize(&sent, &Evaluated { proof: None, ..answer.clone() }, mine.public_key()),
        Err(Refused::Malformed)
    );
    assert_eq!(finalize(&sent, &answer, &[0; 32]), Err(Refused::PublicKey));
    assert_ne!(finalize_unproven(&sent, &tagged), finalize_unproven(&sent, &answer), "without a proof nobody notices");
}

#[test]
fn keys_are_of_one_tenant_and_one_epoch() {
    let master = Master::new(&[5; 32]);
    let inner = primary("+16505551212");
    let key = |tenant: &str, epoch| EpochKey::derive(&master, tenant, epoch).unwrap();
    let outputs = [
        key("acme", 1).output(Kind::Phone, &inner),
        key("acme", 2).output(Kind::Phone, &inner),
        key("other", 1).output(Kind::Phone, &inner),
        key("acme", 1).output(Kind::Email, &inner),
        EpochKey::derive(&Master::new(&[6; 32]), "acme", 1).unwrap().output(Kind::Phone, &inner),
    ];
    for (at, one) in outputs.iter().enumerate() {
        assert!(one.is_some() && !outputs[..at].contains(one), "{at}");
    }
    assert_eq!(key("acme", 1).output(Kind::Phone, &inner), outputs[0], "and they are the same at every start");
    assert_eq!(format!("{:?} {:?}", key("acme", 3), outputs[0].unwrap()), "EpochKey { epoch: 3, .. } Output(..)");
}

#[test]
fn outputs_keep_their_bytes() {
    let y: Vec<u8> = (0..64).collect();
    let output = Output::of(&y).unwrap();
    assert_eq!((output.tag, output.reveal[0], output.reveal[15]), (0x0001_0203_0405_0607, 8, 23));
    assert_eq!(output.bytes().to_vec(), y[..24]);
    assert_eq!(Output::of(&y[..23]), None);
}

/// What the server sees of one book under one set of blinds must look like what it sees of any other: each bit of the
/// elements is set about as often, and no element of one book occurs in the other.
#[test]
fn blinded_elements_say_nothing_of_the_book() {
    const SIZE: u32 = 4000;
    let book = |start: u64| (0..u64::from(SIZE)).map(move |n| format!("+1650{:07}", start + n)).collect::<Vec<_>>();
    let transcripts = [book(0), book(5_000_000)].map(|book| {
        let sent = blinds(&book, 3);
        sent.iter().map(|one| *one.element()).collect::<Vec<Element>>()
    });
    assert!(transcripts[0].iter().all(|one| !transcripts[1].contains(one)), "blinds are not all there is");
    // Two-sample test per bit; |z| beyond 4.5 in any of 2 x 251 bits has a chance of 0.3 %, and the seeds are fixed.
    let ones =
        |book: &[Element], bit: usize| book.iter().filter(|one| one[bit / 8] >> (bit % 8) & 1 == 1).count() as f64;
    let size = f64::from(SIZE);
    for bit in 1..252 {
        let [a, b] = [0, 1].map(|at| ones(&transcripts[at], bit));
        let z = (a - b) / (size / 2.0).sqrt();
        assert!(z.abs() < 4.5, "bit {bit}: {a} of one book, {b} of the other");
        assert!((a - size / 2.0).abs() / (size / 4.0).sqrt() < 4.5, "bit {bit} is not even: {a}");
    }
    // The same book under other blinds shares no element with itself: two calls cannot be linked.
    let again: Vec<Element> = blinds(&book(0), 4).iter().map(|one| *one.element()).collect();
    assert!(again.iter().all(|one| !transcripts[0].contains(one)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn blinding_evaluating_and_unblinding_is_evaluating(
        book in prop::collection::vec("\\+[1-9][0-9]{6,12}", 0..6), seed in any::<u8>(), epoch in 0..9_u32,
    ) {
        let key = EpochKey::derive(&Master::new(&[seed; 32]), "acme", epoch).unwrap();
        let expected: Vec<Output> = book.iter().map(|one| key.output(Kind::Phone, &primary(one)).unwrap()).collect();
        let sent = blinds(&book, seed);
        let elements: Vec<Element> = sent.iter().map(|one| *one.element()).collect();
        prop_assume!(!book.is_empty());
        let answer = key.evaluate(&points(&elements), Some(Dice::new(&[seed; 32])));
        prop_assert_eq!(finalize(&sent, &answer, key.public_key()).unwrap(), expected.clone());
        let plain = key.evaluate(&points(&elements), None);
        prop_assert_eq!(finalize_unproven(&sent, &plain).unwrap(), expected);
    }
}
