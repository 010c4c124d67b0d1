/* `pow` of the C library, loaded when somebody calls it.

   Two places of what we are built from call it: the scheduler of tokio, and AWS's SDK before it tries a call again.
   Linked as usual, libm.so.6 is loaded by every start, which takes a fifth of a `get` of the credential helper, and
   is used by none of those that must be quick. See docs/decisions/0006-fixed-address.md. */

#include <dlfcn.h>
#include <stdlib.h>

typedef double power(double, double);

double pow(double base, double exponent) {
  static power *loaded;
  power *known = __atomic_load_n(&loaded, __ATOMIC_ACQUIRE);
  if (!known) {
    /* Two threads at once both find the same. */
    void *library = dlopen("libm.so.6", RTLD_NOW);
    known = library ? (power *)dlsym(library, "pow") : NULL;
    if (!known) abort(); /* It comes with the C library that has started us. */
    __atomic_store_n(&loaded, known, __ATOMIC_RELEASE);
  }
  return known(base, exponent);
}
