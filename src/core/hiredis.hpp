#pragma once

// The only file that includes hiredis, so that the rest of tandem sees one version of it and no
// user sees any.
#include <hiredis/hiredis.h>

static_assert(HIREDIS_MAJOR >= 1,
              "tandem needs hiredis 1.0 or newer: older ones cannot read RESP3");
