/* Death and take-over: a client dies anywhere (as a holder, a waiter, one just granted), the server
 * sees its sockets close when it likes, and two more on its host have proof of its death and run the
 * release script in its token's name, at any time, however old the proof; a lease ends too early.
 */
#ifdef LIVENESS
#define TOKENS 2
#define CUTS 1
#define GIVE_UPS 1
#else
#define TOKENS 3 /* the dead and two that watch it, of whom one holds then */
#define CUTS 0
#define GIVE_UPS 0
#endif
#define CRASHES 1
#define LOSSES 0
#define LATE 0
#define EXPIRIES 1
#define RENEWALS 0
#include "client.pml"
