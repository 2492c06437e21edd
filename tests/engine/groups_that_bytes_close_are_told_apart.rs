use trunkline::config::ControlMode;
use trunkline::decisions::Window;

use crate::support::{Rig, puts, submit, until, without_hanging};

#[test]
fn from_those_that_the_cap_of_operations_closes() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.control.window_ms = 10;
            config.control.mode = ControlMode::Fixed;
            config.group.operations_max = 10;
            config.group.bytes_max = 10_000;
        });
        let engine = rig.open();
        let large = vec![7; 5_000];
        // Two of them are more than a group's bytes, and far fewer than its operations.
        submit(
            &engine,
            puts((0..2_u32).map(|key| (key.to_le_bytes(), &large))),
        );
        submit(
            &engine,
            puts((0..10_u32).map(|key| (key.to_le_bytes(), "v"))),
        );
        submit(&engine, puts([("key", "v")]));

        let sum =
            |figure: fn(&Window) -> u64| engine.windows_since(0).iter().map(figure).sum::<u64>();
        until(|| sum(|window| window.operations_durable) == 13);
        assert_eq!(sum(|window| window.groups), 3);
        assert_eq!(sum(|window| window.groups_full), 1);
        assert_eq!(sum(|window| window.groups_full_bytes), 1);
    });
}
