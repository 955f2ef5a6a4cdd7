/* The queue and its hand-off: three clients, a grant that is slept through or whose lease ends, a
 * waiter that gives up just when it is granted, an event connection that breaks. Nobody dies
 * (crash.pml) and no answer is lost (replies.pml), so a question and its script are one step.
 */
#define TOKENS 3
#define CRASHES 0
#define CUTS 1
#define LOSSES 0
#define LATE 0
#ifdef LIVENESS
#define EXPIRIES 0
#else
#define EXPIRIES 1
#endif
#define GIVE_UPS 1
#define RENEWALS 0
#include "client.pml"
