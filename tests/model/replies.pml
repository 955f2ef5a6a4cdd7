/* Lost and late words: two clients, requests that do not arrive, answers that do not, the same
 * request sent again, and one that is carried out long after its sender gave its connection up;
 * renewals, and leases that end early.
 */
#define TOKENS 2
#define CRASHES 0
#define CUTS 0
#define LOSSES 1
#define LATE 1
#define GIVE_UPS 0
#ifdef LIVENESS
#define EXPIRIES 1
#define RENEWALS 0
#else
#define EXPIRIES 2
#define RENEWALS 1
#endif
#include "client.pml"
