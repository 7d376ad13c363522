//! The structure against a plain array of registers. That the bytes are Redis's is for the differential tests to say.

use super::*;
use crate::testing::cases;
use proptest::prelude::*;

fn registers(bytes: &[u8]) -> Vec<u8> {
    let mut union = Union::default();
    union.merge(bytes).expect("a valid HyperLogLog");
    union.registers().to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(60)))]

    #[test]
    fn registers_are_those_of_an_array(
        raises in prop::collection::vec((0..REGISTERS, 1..40u8, 1..6usize), 1..300),
        max in prop::sample::select(vec![0, 30, 200, 3000]),
    ) {
        let mut draft = Draft::new();
        let mut model = vec![0; REGISTERS];
        for (first, value, n) in raises {
            for (index, register) in model.iter_mut().enumerate().skip(first).take(n) {
                draft.hint = None;
                let changed = draft.raise(index, value, max).expect("a valid HyperLogLog");
                prop_assert_eq!(changed, *register < value);
                *register = value.max(*register);
            }
            prop_assert!(draft.is_dense() || draft.bytes().len() <= max.max(HEADER + 2));
        }
        prop_assert_eq!(&registers(draft.bytes()), &model);
        let mut histogram = [0; 64];
        model.iter().for_each(|r| histogram[usize::from(*r)] += 1);
        prop_assert_eq!(count(draft.bytes()), Ok(estimate(&histogram)));
        draft.make_dense().expect("a valid HyperLogLog");
        prop_assert_eq!(&registers(draft.bytes()), &model);
        // In ascending order, with the hint and without it, the runs are the same.
        let mut union = Union::default();
        union.merge(draft.bytes()).expect("a valid HyperLogLog");
        let (mut all, mut each) = (Draft::new(), Draft::new());
        all.raise_all(&union, false, 100_000).expect("a valid HyperLogLog");
        for (index, value) in model.iter().enumerate().filter(|(_, value)| **value > 0) {
            each.hint = None;
            each.raise(index, *value, 100_000).expect("a valid HyperLogLog");
        }
        prop_assert_eq!(all.bytes(), each.bytes());
    }

    #[test]
    fn any_bytes_are_borne(tail in prop::collection::vec(any::<u8>(), 0..40), elements in prop::collection::vec(any::<u64>(), 0..20)) {
        let mut bytes = Draft::new().bytes()[..HEADER].to_vec();
        bytes.extend(tail);
        let _ = count(&bytes);
        let _ = Union::default().merge(&bytes);
        let mut draft = Draft::of(&bytes);
        for element in elements {
            let _ = draft.add(&element.to_le_bytes(), 3000);
        }
        let mut union = Union::default();
        union.0[77] = 3;
        union.0[9000] = 33;
        let _ = draft.raise_all(&union, false, 3000);
        let _ = draft.make_dense();
    }
}

#[test]
fn forms_are_recognized() {
    let mut draft = Draft::new();
    assert_eq!(form(draft.bytes()), Some(Form::Sparse));
    draft.make_dense().expect("a valid HyperLogLog");
    assert_eq!(draft.bytes().len(), 12_304);
    assert_eq!(form(draft.bytes()), Some(Form::Dense));
    assert_eq!(form(&draft.bytes()[..12_303]), None);
    assert_eq!(form(b"HYLL"), None);
    assert_eq!(form(b"HYLX\x01\0\0\0\0\0\0\0\0\0\0\0"), None);
    assert_eq!(form(b"HYLL\x02\0\0\0\0\0\0\0\0\0\0\0"), None);
}

#[test]
fn estimates_are_kept_until_they_are_out_of_date() {
    let mut draft = Draft::new();
    assert_eq!(cached(draft.bytes()), Some(0));
    set_cached(draft.bytes_mut(), 258);
    assert_eq!(cached(draft.bytes()), Some(258));
    assert_eq!(draft.add(b"a", 3000), Ok(true));
    assert_eq!(cached(draft.bytes()), None);
    assert_eq!(count(draft.bytes()), Ok(1));
}

#[test]
fn runs_that_make_no_sense_are_corrupt() {
    let mut bytes = Draft::new().into_vec();
    bytes.push(0);
    assert_eq!(count(&bytes), Err(Corrupt), "one register too many");
    bytes.truncate(HEADER);
    assert_eq!(count(&bytes), Err(Corrupt), "no registers");
    assert_eq!(Draft::of(&bytes).add(b"a", 3000), Err(Corrupt));
    assert_eq!(Draft::of(&bytes).make_dense(), Err(Corrupt));
}

#[test]
fn the_self_test_passes() {
    assert_eq!(self_test(), Ok(()));
}
