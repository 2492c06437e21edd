//! Many additions of points in affine form that share one inversion.
//!
//! The caller chooses the points.

use ark_bls12_381::{Fq, G1Affine, G1Projective};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{AdditiveGroup, BigInt, Field, Zero};

/// A point in affine form. (0, 0), which is not on the curve, represents the identity, so that a point is 96 bytes
/// without a flag.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Affine {
    x: Fq,
    y: Fq,
}

impl Affine {
    const IDENTITY: Self = Self {
        x: Fq::ZERO,
        y: Fq::ZERO,
    };

    fn is_identity(&self) -> bool {
        self.x.is_zero() && self.y.is_zero()
    }

    /// Returns the limbs of both coordinates in Montgomery form.
    pub(super) fn limbs(&self) -> impl Iterator<Item = u64> + use<> {
        let (BigInt(x), BigInt(y)) = (self.x.0, self.y.0);
        x.into_iter().chain(y)
    }

    /// Returns the point with these [`Self::limbs`]. They are not checked.
    pub(super) fn of_limbs([x0, x1, x2, x3, x4, x5, y @ ..]: &[u64; 12]) -> Self {
        Self {
            x: Fq::new_unchecked(BigInt([*x0, *x1, *x2, *x3, *x4, *x5])),
            y: Fq::new_unchecked(BigInt(*y)),
        }
    }
}

impl core::ops::Neg for Affine {
    type Output = Self;

    fn neg(self) -> Self {
        Self {
            x: self.x,
            y: -self.y,
        }
    }
}

impl From<G1Affine> for Affine {
    fn from(point: G1Affine) -> Self {
        point.xy().map_or(Self::IDENTITY, |(x, y)| Self { x, y })
    }
}

impl From<Affine> for G1Affine {
    fn from(point: Affine) -> Self {
        if point.is_identity() {
            return Self::identity();
        }
        Self::new_unchecked(point.x, point.y)
    }
}

/// Adds to each point on the left the point at the same index on the right. Points without a partner are unchanged.
///
/// One inversion serves all (Montgomery's trick), so that an addition costs 5 multiplications and a squaring. `scratch`
/// saves an allocation from call to call.
pub(super) fn add_each(left: &mut [Affine], right: &[Affine], scratch: &mut Vec<Fq>) {
    // The product of all divisors before each one.
    scratch.clear();
    scratch.resize(left.len().min(right.len()), Fq::ONE);
    let mut product = Fq::ONE;
    for ((a, b), before) in left.iter().zip(right).zip(&mut *scratch) {
        *before = product;
        let divisor = b.x - a.x;
        if !is_degenerate(a, b, &divisor) {
            product *= divisor;
        }
    }
    let Some(mut inverse) = product.inverse() else {
        unreachable!("a product of factors that are not zero is not zero")
    };
    let pairs = left.iter_mut().zip(right).zip(&*scratch);
    for ((a, b), before) in pairs.rev() {
        let divisor = b.x - a.x;
        if is_degenerate(a, b, &divisor) {
            *a = add_degenerate(a, b);
            continue;
        }
        let slope = (b.y - a.y) * (inverse * before);
        inverse *= divisor;
        let x = slope.square() - a.x - b.x;
        let y = slope * (a.x - x) - a.y;
        *a = Affine { x, y };
    }
}

/// Returns whether two points have no line of finite slope through them, or might be the identity. `divisor`
/// is the difference of their x.
fn is_degenerate(a: &Affine, b: &Affine, divisor: &Fq) -> bool {
    divisor.is_zero() || a.x.is_zero() || b.x.is_zero()
}

/// Returns the sum of equal or opposite points, or with the identity.
fn add_degenerate(a: &Affine, b: &Affine) -> Affine {
    let sum: G1Projective = G1Affine::from(*a).into_group() + G1Affine::from(*b);
    sum.into_affine().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_opposite_and_absent_points_are_added_correctly() {
        let generator = G1Affine::generator();
        let identity = G1Affine::identity();
        let other = (generator + generator).into_affine();
        let cases = [
            (generator, other),
            (generator, generator),
            (generator, -generator),
            (identity, generator),
            (generator, identity),
            (identity, identity),
            (other, generator),
        ];
        let mut left = cases.map(|(a, _)| Affine::from(a));
        let right = cases.map(|(_, b)| Affine::from(b));
        add_each(&mut left, &right, &mut Vec::new());
        for ((a, b), sum) in cases.into_iter().zip(left) {
            assert_eq!(G1Affine::from(sum), (a + b).into_affine());
        }
    }

    #[test]
    fn points_without_a_partner_stay_as_they_are() {
        let generator = Affine::from(G1Affine::generator());
        let mut left = [generator; 3];
        add_each(&mut left, &[generator], &mut Vec::new());
        assert!(left[0] != generator && left[1] == generator && left[2] == generator);
    }

    #[test]
    fn limbs_make_up_the_point_again() {
        let point = Affine::from(-G1Affine::generator());
        let limbs: Vec<u64> = point.limbs().collect();
        let limbs = limbs.try_into().expect("12 limbs");
        assert!(Affine::of_limbs(&limbs) == point);
    }
}
