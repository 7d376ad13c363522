//! A box of one of two types in one word, which a list of many of them is half as long for.

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

/// One of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Either<A, B> {
    Left(A),
    Right(B),
}

/// A `Box` of an `A` or of a `B`.
///
/// # Safety argument
/// `tagged` comes from `Box::into_raw` of an `A`, or of a `B` and then with [`RIGHT`] added, which no address of either has, as
/// both are aligned to more than one byte. It is given back to a `Box` of that type once: when this is dropped or taken apart.
pub(crate) struct EitherBox<A, B> {
    tagged: NonNull<u8>,
    owns: PhantomData<Either<Box<A>, Box<B>>>,
}

const RIGHT: usize = 1;

// SAFETY: it is what a box of one of them is.
unsafe impl<A: Send, B: Send> Send for EitherBox<A, B> {}
// SAFETY: as above.
unsafe impl<A: Sync, B: Sync> Sync for EitherBox<A, B> {}

impl<A, B> EitherBox<A, B> {
    const ALIGNED: () = assert!(align_of::<A>() > RIGHT && align_of::<B>() > RIGHT);

    pub fn left(boxed: Box<A>) -> Self {
        let () = Self::ALIGNED;
        EitherBox {
            tagged: NonNull::from(Box::leak(boxed)).cast(),
            owns: PhantomData,
        }
    }

    pub fn right(boxed: Box<B>) -> Self {
        let () = Self::ALIGNED;
        let untagged: NonNull<u8> = NonNull::from(Box::leak(boxed)).cast();
        EitherBox {
            tagged: untagged.map_addr(|addr| addr | RIGHT),
            owns: PhantomData,
        }
    }

    /// Where what is inside begins: whose type the first says.
    #[inline]
    fn inside(&self) -> Either<*mut A, *mut B> {
        let tagged = self.tagged.as_ptr();
        if tagged.addr() & RIGHT == 0 {
            Either::Left(tagged.cast())
        } else {
            Either::Right(tagged.map_addr(|addr| addr & !RIGHT).cast())
        }
    }

    #[inline]
    pub fn get(&self) -> Either<&A, &B> {
        match self.inside() {
            // SAFETY: see the type's page; nobody changes it while this is borrowed.
            Either::Left(a) => Either::Left(unsafe { &*a }),
            // SAFETY: as above.
            Either::Right(b) => Either::Right(unsafe { &*b }),
        }
    }

    #[inline]
    pub fn get_mut(&mut self) -> Either<&mut A, &mut B> {
        match self.inside() {
            // SAFETY: see the type's page; nobody looks at it while this is borrowed.
            Either::Left(a) => Either::Left(unsafe { &mut *a }),
            // SAFETY: as above.
            Either::Right(b) => Either::Right(unsafe { &mut *b }),
        }
    }

    pub fn into_inner(self) -> Either<Box<A>, Box<B>> {
        match ManuallyDrop::new(self).inside() {
            // SAFETY: see the type's page; this is not dropped.
            Either::Left(a) => Either::Left(unsafe { Box::from_raw(a) }),
            // SAFETY: as above.
            Either::Right(b) => Either::Right(unsafe { Box::from_raw(b) }),
        }
    }
}

impl<A, B> Drop for EitherBox<A, B> {
    fn drop(&mut self) {
        match self.inside() {
            // SAFETY: see the type's page; this is gone.
            Either::Left(a) => drop(unsafe { Box::from_raw(a) }),
            // SAFETY: as above.
            Either::Right(b) => drop(unsafe { Box::from_raw(b) }),
        }
    }
}

impl<A: Clone, B: Clone> Clone for EitherBox<A, B> {
    fn clone(&self) -> Self {
        match self.get() {
            Either::Left(a) => EitherBox::left(Box::new(a.clone())),
            Either::Right(b) => EitherBox::right(Box::new(b.clone())),
        }
    }
}

impl<A: fmt::Debug, B: fmt::Debug> fmt::Debug for EitherBox<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[test]
    fn what_goes_in_comes_out_and_is_dropped_once() {
        type Strings = EitherBox<(Rc<()>, String), (Rc<()>, Vec<u32>)>;
        assert_eq!(size_of::<Option<Strings>>(), size_of::<usize>());
        let count = Rc::new(());
        let mut left = Strings::left(Box::new((count.clone(), "one".into())));
        let mut right = Strings::right(Box::new((count.clone(), vec![1])));
        for either in [&mut left, &mut right] {
            match either.get_mut() {
                Either::Left((_, text)) => text.push_str(" more"),
                Either::Right((_, numbers)) => numbers.push(2),
            }
        }
        let copies = [left.clone(), right.clone()];
        assert_eq!(Rc::strong_count(&count), 5);
        for either in copies.iter().chain([&left, &right]) {
            match either.get() {
                Either::Left((_, text)) => assert_eq!(text, "one more"),
                Either::Right((_, numbers)) => assert_eq!(numbers, &[1, 2]),
            }
        }
        drop(copies);
        assert_eq!(Rc::strong_count(&count), 3);
        assert!(matches!(left.into_inner(), Either::Left(b) if b.1 == "one more"));
        assert!(matches!(right.into_inner(), Either::Right(b) if b.1 == [1, 2]));
        assert_eq!(Rc::strong_count(&count), 1);
    }
}
