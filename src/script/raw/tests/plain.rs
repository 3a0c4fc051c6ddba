//! The quick way for numbers and nothing, beside the one for everything.

use super::*;
use crate::script::raw::format::END;
use crate::script::raw::plain::BODY;

/// One of each, and the largest and smallest numbers.
const VALUES: [&str; 9] =
    ["nil", "true", "false", "0", "-1", "math.maxinteger", "math.mininteger", "-0.0", "1 / 0"];

#[test]
fn what_is_written_without_a_protected_call_is_what_the_encoder_writes() {
    let mut ends = Ends::new();
    for value in VALUES {
        let (one, two) =
            (ends.encode(&format!("return {value}")), ends.encode(&format!("return {value}, {value}")));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!((one.body, two.body), (BODY, BODY), "{value}");
        let written = &one.bytes[BODY..one.bytes.len() - 1];
        assert_eq!(two.bytes[BODY..], [written, written, &[END]].concat());
        // As text -0.0 and 0, and 1 and 1.0, are not the same.
        let is_it = format!("local x = ... return rawequal(x, {value}) and tostring(x) == tostring({value})");
        ends.check(&format!("return {value}"), &is_it);
    }
    assert_eq!(ends.encode("return").unwrap().bytes[..], [0, 0, 0, 0, 0, 0, END]);
}

#[test]
fn a_damaged_one_is_an_error() {
    let mut ends = Ends::new();
    for value in VALUES {
        let bytes = ends.encode(&format!("return {value}")).unwrap().bytes;
        let mut decode = |bytes: &[u8]| {
            let unknown = |_| Ok(Value::Nil);
            ends.receiver.decode(&ends.there, bytes, &mut { unknown }).map(|values| values.len())
        };
        assert_eq!(decode(&bytes).unwrap(), 1);
        for end in 0..bytes.len() {
            assert!(matches!(decode(&bytes[..end]), Err(ShipError::Corrupt { .. })), "{value} {end}");
        }
        let longer = [&bytes[..], &[END]].concat();
        assert!(matches!(decode(&longer), Err(ShipError::Corrupt { .. })), "{value}");
    }
}
