//! The known answers, which `tests/interop/py/pairing_vectors.py` computes without our code.

use std::convert::Infallible;

use data_encoding::HEXLOWER;
use rand::rand_core::{TryCryptoRng, TryRng};
use serde_json::Value;

use super::card::Side;
use super::exchange::{Begun, correlation};
use super::{Card, Known, Me};
use crate::identity::Identity;

/// Gives what it was given.
struct Fixed(Vec<u8>);

impl TryRng for Fixed {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("only bytes are drawn")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("only bytes are drawn")
    }

    fn try_fill_bytes(&mut self, place: &mut [u8]) -> Result<(), Infallible> {
        let given: Vec<u8> = self.0.drain(..place.len()).collect();
        place.copy_from_slice(&given);
        Ok(())
    }
}

impl TryCryptoRng for Fixed {}

fn bytes(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn identity(device: &Value) -> Identity {
    let secret = bytes(&device["secret_key"]).try_into().unwrap();
    Identity::from_parts(&secret, &bytes(&device["certificate"]), &bytes(&device["certificate_key"])).unwrap()
}

#[test]
fn what_two_sides_say_and_share_is_what_another_implementation_computes() {
    let known: Value = serde_json::from_str(include_str!("../../tests/vectors/pairing.json")).unwrap();
    let (code, _) = Known::read(known["code"].as_str().unwrap()).unwrap();
    let run = correlation(known["correlation"].as_str().unwrap()).unwrap();
    let sides = [("initiator", Side::Initiator), ("responder", Side::Responder)];
    let [i, r] = sides.map(|(name, side)| {
        let drawn = [bytes(&known[name]["nonce"]), bytes(&known[name]["scalar"])].concat();
        let begun = Begun::new(side, &code, &mut Fixed(drawn));
        assert_eq!(begun.pake.to_vec(), bytes(&known[name]["pake"]), "{name}");
        begun
    });
    let (of_i, of_r) = ((i.nonce, i.pake), (r.nonce, r.pake));
    let i = i.finish(&run, &of_r.0, &of_r.1).unwrap();
    let r = r.finish(&run, &of_i.0, &of_i.1).unwrap();
    for (shared, (name, _)) in [(&i, sides[0]), (&r, sides[1])] {
        assert_eq!(shared.pair_key().to_vec(), bytes(&known["keys"]["pair"]), "{name}");
        assert_eq!(shared.check(), known["check"].as_str().unwrap(), "{name}");
        let (device, identity) = (&known[name], identity(&known[name]));
        assert_eq!(identity.id().to_string(), device["device_id"].as_str().unwrap());
        let me = Me { identity: &identity, name: device["name"].as_str().unwrap() };
        assert_eq!(shared.close(me), bytes(&known[format!("{name}_box")]), "{name}");
    }
    for (shared, other) in [(&i, "responder"), (&r, "initiator")] {
        let card = shared.open(&bytes(&known[format!("{other}_box")])).unwrap();
        let device = &known[other];
        assert_eq!(card.public_key.to_vec(), bytes(&device["public_key"]));
        assert_eq!(card.fingerprint.to_vec(), bytes(&device["fingerprint"]));
        assert_eq!((card.name.as_str(), card.capabilities), (device["name"].as_str().unwrap(), 0));
        // Neither side takes its own box for the other's.
        let own = if other == "responder" { "initiator" } else { "responder" };
        assert_eq!(shared.open(&bytes(&known[format!("{own}_box")])), None::<Card>);
    }
}
