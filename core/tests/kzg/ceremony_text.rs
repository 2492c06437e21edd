//! Importing the full public file returns the same points, or an error that names the problem.

use trunkline_core::kzg::{Setup, SetupError};
use trunkline_testkit::naive_kzg::CEREMONY;

/// Returns a text in the form of the public file: its 128 first G1 powers and its G2 powers are real, and all unused
/// points are the generator.
fn published_lines() -> Vec<&'static str> {
    let embedded: Vec<&str> = CEREMONY.lines().collect();
    let (g1, g2) = embedded[2..].split_at(128);
    let mut lines = vec!["4096", "65"];
    lines.extend([g1[0]; 4096]);
    lines.extend_from_slice(g2);
    lines.extend_from_slice(g1);
    lines.extend([g1[0]; 4096 - 128]);
    lines
}

fn import(lines: &[&str]) -> Result<Setup, SetupError> {
    Setup::from_trusted_setup_text(&lines.join("\n"))
}

fn shape_error(line: usize) -> Result<Setup, SetupError> {
    Err(SetupError::Shape {
        line,
        g1: 4096,
        g2: 65,
    })
}

const FIRST_G2_POWER: usize = 2 + 4096;
const FIRST_G1_POWER: usize = FIRST_G2_POWER + 65;

#[test]
fn the_public_file_gives_the_embedded_points() {
    assert_eq!(import(&published_lines()), Setup::ceremony());
}

#[test]
fn lines_may_end_as_windows_ends_them() {
    let text = published_lines().join("\r\n");
    assert_eq!(Setup::from_trusted_setup_text(&text), Setup::ceremony());
}

#[test]
fn a_swapped_or_repeated_point_is_another_setup() {
    let mut lines = published_lines();
    lines.swap(FIRST_G1_POWER + 3, FIRST_G1_POWER + 4);
    assert_eq!(import(&lines), Err(SetupError::OtherPoints));
    let mut lines = published_lines();
    lines.swap(FIRST_G2_POWER, FIRST_G2_POWER + 64);
    assert_eq!(import(&lines), Err(SetupError::OtherPoints));
}

#[test]
fn a_text_of_another_shape_is_refused() {
    assert_eq!(import(&[]), shape_error(1));
    assert_eq!(import(&["4096", "64"]), shape_error(2));
    assert_eq!(Setup::from_trusted_setup_text(CEREMONY), shape_error(1));
    let mut lines = published_lines();
    lines.push(lines[2]);
    assert_eq!(import(&lines), shape_error(lines.len()));
    lines.truncate(lines.len() - 2);
    assert_eq!(import(&lines), shape_error(lines.len() + 1));
}

#[test]
fn a_line_that_is_no_point_is_named() {
    let mut lines = published_lines();
    lines[FIRST_G1_POWER + 500] = "not a point";
    let error = SetupError::Hex {
        line: FIRST_G1_POWER + 501,
        bytes: 48,
    };
    assert_eq!(import(&lines), Err(error));
    let mut lines = published_lines();
    lines.swap(2, FIRST_G2_POWER);
    let error = SetupError::Hex { line: 3, bytes: 48 };
    assert_eq!(import(&lines), Err(error));
}
