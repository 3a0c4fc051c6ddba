//! What programs print, by patterns, paths and columns that are arbitrary too: a line for each, then the output.

use harness::keeper::metric::Reader;
use regex::bytes::Regex;

pub fn target(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (line, output) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    let text = String::from_utf8_lossy(line).into_owned();
    let pattern = Regex::new(&text).ok().map(|regex| Reader::Pattern(regex, text.clone()));
    for reader in pattern.into_iter().chain([Reader::Json(text.clone()), Reader::Csv(text)]) {
        if let Ok(figure) = reader.figure(output) {
            assert!(figure.abs() <= 1e150);
        }
        let mut end = 0;
        for place in reader.places(output) {
            assert!(end <= place.start && place.start <= place.end && place.end <= output.len());
            end = place.end;
        }
    }
}
