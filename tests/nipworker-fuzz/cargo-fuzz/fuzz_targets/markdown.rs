#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    (nipworker_fuzz::targets::find("markdown").expect("the target is in the list").run)(bytes);
});
