use crate::support::{Workplace, run};

#[test]
fn without_a_terminal_nothing_is_begun() {
    let workplace = Workplace::new();
    let directory = workplace.text("state");
    run(["load", "--tui", "--dir", &directory]).unusable("--tui needs a terminal");
    assert!(!workplace.path("state").exists());
}
