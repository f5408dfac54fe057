// Package platform compiles where Scrubjay works, and elsewhere fails with a sentence that says what to do. It is
// a package of its own because the compiler then stops here, before the missing native calls bury that sentence.
package platform
