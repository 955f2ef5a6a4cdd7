/* Readers and writers; see permits.pml. */
#ifdef LIVENESS
#define CLIENTS 3
#else
#define CLIENTS 4
#endif
#define SHARERS 2
#define SECTIONS 1
#define LIMIT CLIENTS
#define EXPIRIES 1
#define CUTS 1
#define GIVE_UPS 1
#define CRASHES 1
#include "permits.pml"
