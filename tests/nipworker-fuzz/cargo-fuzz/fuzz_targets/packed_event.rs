#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    (nipworker_fuzz::targets::find("packed_event").expect("the target is in the list").run)(bytes);
});
