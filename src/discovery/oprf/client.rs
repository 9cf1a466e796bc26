//! The caller's side of an oblivious evaluation: blind, check the proof, unblind.

use voprf::{CipherSuite, EvaluationElement, Group, OprfClient, Proof, Ristretto255, VoprfClient};

use crate::discovery::oprf::{Dice, Element, Evaluated, INPUT_BYTES, Output};

type Point = <<Ristretto255 as CipherSuite>::Group as Group>::Elem;

/// One blinded input and what it takes to unblind the answer.
pub struct Blinded {
    input: [u8; INPUT_BYTES],
    state: VoprfClient<Ristretto255>,
    element: Element,
}

/// Why an answer is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Not as many elements as were sent, or bytes that are no element or no proof.
    Malformed,
    /// The public key is none.
    PublicKey,
    /// The proof does not hold: another key than the public one was used for at least one element.
    Proof,
}

impl Blinded {
    /// Blinds an input. `None`: the input hashes to the identity, which nobody has ever seen.
    #[must_use]
    pub fn new(input: [u8; INPUT_BYTES], dice: &mut Dice) -> Option<Self> {
        let blinded = VoprfClient::<Ristretto255>::blind(&input, dice).ok()?;
        Some(Self { input, element: blinded.message.serialize().into(), state: blinded.state })
    }

    /// What is sent.
    #[must_use]
    pub fn element(&self) -> &Element {
        &self.element
    }
}

/// The outputs, in order, of an answer with a proof.
///
/// # Errors
/// [`Refused`]: then nothing of it may be used.
pub fn finalize(blinded: &[Blinded], answer: &Evaluated, public: &Element) -> Result<Vec<Output>, Refused> {
    let elements = elements(blinded, answer)?;
    let proof = answer.proof.as_ref().ok_or(Refused::Malformed)?;
    let proof = Proof::<Ristretto255>::deserialize(proof).map_err(|_| Refused::Malformed)?;
    let public: Point = Ristretto255::deserialize_elem(public).map_err(|_| Refused::PublicKey)?;
    let inputs: Vec<&[u8]> = blinded.iter().map(|one| one.input.as_slice()).collect();
    let states: Vec<VoprfClient<Ristretto255>> = blinded.iter().map(|one| one.state.clone()).collect();
    let outputs =
        VoprfClient::batch_finalize(&inputs, &states, &elements, &proof, public).map_err(|_| Refused::Proof)?;
    outputs.map(|y| y.ok().and_then(|y| Output::of(&y)).ok_or(Refused::Malformed)).collect()
}

/// The outputs of an answer without a proof: whoever answered may have used any key, for instance one for this caller alone.
///
/// # Errors
/// [`Refused::Malformed`].
pub fn finalize_unproven(blinded: &[Blinded], answer: &Evaluated) -> Result<Vec<Output>, Refused> {
    let elements = elements(blinded, answer)?;
    let one = |(blinded, element): (&Blinded, &EvaluationElement<Ristretto255>)| {
        // Unblinding and the last hash are the same in all modes; the library has them without a proof in mode OPRF only.
        let pair = blinded.state.serialize();
        let blind = pair.first_chunk::<32>().ok_or(Refused::Malformed)?;
        let client = OprfClient::<Ristretto255>::deserialize(blind).map_err(|_| Refused::Malformed)?;
        let y = client.finalize(&blinded.input, element).map_err(|_| Refused::Malformed)?;
        Output::of(&y).ok_or(Refused::Malformed)
    };
    blinded.iter().zip(&elements).map(one).collect()
}

fn elements(blinded: &[Blinded], answer: &Evaluated) -> Result<Vec<EvaluationElement<Ristretto255>>, Refused> {
    if blinded.len() != answer.elements.len() {
        return Err(Refused::Malformed);
    }
    answer.elements.iter().map(|one| EvaluationElement::deserialize(one).map_err(|_| Refused::Malformed)).collect()
}
