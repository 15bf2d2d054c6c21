//! Compresses the files of the page, which the program holds as they are served.

use std::io::Write;
use std::path::Path;
use std::{env, fs};

use flate2::{Compression, GzBuilder};

const FOLDER: &str = "src/page";

fn main() {
    println!("cargo::rerun-if-changed={FOLDER}");
    let out = env::var_os("OUT_DIR").expect("cargo sets it");
    for entry in fs::read_dir(FOLDER).expect("the folder of the page can be read") {
        let path = entry.expect("an entry of a folder").path();
        let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
        let text = fs::read(&path).expect("a file of the page can be read");
        // Without a name and a time, so that the same text is always the same file.
        let mut gzip = GzBuilder::new().write(Vec::new(), Compression::best());
        let compressed = gzip.write_all(&text).and_then(|()| gzip.finish());
        let compressed = compressed.expect("memory takes what is written to it");
        fs::write(Path::new(&out).join(format!("{name}.gz")), compressed).expect("OUT_DIR can be written");
    }
}
