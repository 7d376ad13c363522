//! Any bytes as a reply: no panic, both readers agree, and what was read can be written and read again.

use resp::{Out, Proto, decode, skip_reply};

/// Runs one input; panics if anything is wrong.
pub fn run(data: &[u8]) {
    let skipped = skip_reply(data);
    match decode(data) {
        Ok(Some((value, used))) => {
            assert_eq!(skipped, Ok(Some(used)));
            for proto in [Proto::Resp2, Proto::Resp3] {
                let mut out = Out::new(proto);
                value.write_to(&mut out);
                let bytes = out.to_vec();
                let (again, used) = decode(&bytes)
                    .expect("written replies are valid")
                    .expect("and complete");
                assert_eq!(used, bytes.len());
                // Lines lose the bytes they cannot hold when first written, and nothing after that.
                let mut out = Out::new(proto);
                again.write_to(&mut out);
                let bytes = out.to_vec();
                let (third, _) = decode(&bytes).expect("valid").expect("complete");
                assert_eq!(format!("{third:?}"), format!("{again:?}"));
            }
        }
        Ok(None) => assert_eq!(skipped, Ok(None)),
        // The measuring reader looks at less and accepts more.
        Err(_) => {}
    }
}
