use super::*;

#[test]
fn what_cannot_be_read_is_told_with_its_line_and_the_nearest_name() {
    for (case, text, want) in [
        ("an unknown field", "{\"at\":0}\n{\"at\":1,\"podz\":[]}", "f:2: unknown field `podz`, expected one of"),
        ("the nearest name", "{\"at\":0,\"sampels\":[]}", "did you mean `samples`?"),
        ("no JSON", "{\"at\":0", "f:1: EOF while parsing an object (column 7)"),
        ("disorder", "{\"at\":10}\n\n{\"at\":5}", "f:3: at: 5 comes after 10: put the records in order of time"),
        ("nothing", "\n", "f:1: there is no record"),
        ("milliseconds since 1970", "{\"at\":1700000000000}", "is no instant"),
    ] {
        let error = Series::read(text, "f").unwrap_err().to_string();
        assert!(error.contains(want), "{case}: {error}");
    }
}
