//! Pruning an archive of a real tree.

use trunkline_archive::{BasePolicy, Keep, Trust};

use crate::support::{Rig, objects};

#[tokio::test]
async fn what_a_kept_base_needs_stays_and_the_rest_goes() {
    let mut rig = Rig::new();
    let archive = rig.local_archive();
    let mut roots = Vec::new();
    for _ in 0..3 {
        roots.extend(rig.write(3));
        archive
            .back_up(&rig.closed(), BasePolicy::Always, None)
            .await
            .unwrap();
    }
    let keep = Keep {
        bases: 2,
        ..Keep::default()
    };
    let prunable = archive.catalog().await.unwrap().prunable(&keep);
    assert_eq!(
        prunable
            .bases
            .iter()
            .map(|base| base.version)
            .collect::<Vec<_>>(),
        [3]
    );
    archive.prune(&prunable).await.unwrap();
    archive.prune(&prunable).await.unwrap(); // what is gone is gone
    for root in &roots[5..] {
        assert_eq!(rig.restored(&archive, Some(root.version)).await.1, *root);
    }
    let before = archive
        .restore(Some(5), &rig.config("restored"), &Trust::default())
        .await;
    assert!(
        before
            .unwrap_err()
            .to_string()
            .contains("oldest base of the archive is of version 6")
    );
    let left = objects(&rig.path("archive"));
    assert!(archive.catalog().await.unwrap().prunable(&keep).is_empty());
    assert_eq!(objects(&rig.path("archive")), left);
    assert!(
        archive
            .verify(None, &Trust::default())
            .await
            .unwrap()
            .is_whole()
    );
}
