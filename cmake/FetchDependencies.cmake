# Included with TANDEM_FETCH_DEPS=ON: pinned releases, checked by hash. It gives the same target
# names as finding.
include(FetchContent)
set(CMAKE_POLICY_DEFAULT_CMP0077 NEW) # the settings below reach projects that still use option()
set(CMAKE_POLICY_VERSION_MINIMUM 3.5) # hiredis 1.2 asks for a CMake older than CMake 4 knows
set(BUILD_SHARED_LIBS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON) # tandem itself may be shared
set(DISABLE_TESTS ON)
set(FMT_INSTALL ${TANDEM_INSTALL})

# Fetched into a folder named hiredis, so that <hiredis/hiredis.h> works as it does when installed.
set(_fetched "${FETCHCONTENT_BASE_DIR}")
if(NOT _fetched)
  set(_fetched "${CMAKE_BINARY_DIR}/_deps")
endif()
FetchContent_Declare(hiredis SYSTEM
  URL https://github.com/redis/hiredis/archive/refs/tags/v1.2.0.tar.gz
  URL_HASH SHA256=82ad632d31ee05da13b537c124f819eb88e18851d9cb0c30ae0552084811588c
  SOURCE_DIR "${_fetched}/hiredis-src/hiredis")
FetchContent_Declare(fmt SYSTEM
  URL https://github.com/fmtlib/fmt/archive/refs/tags/9.1.0.tar.gz
  URL_HASH SHA256=5dea48d1fcddc3ec571ce2058e13910a0d4a6bab4cc09a809d8b1dd1c88ae6f2)
FetchContent_MakeAvailable(hiredis fmt)
target_include_directories(hiredis SYSTEM INTERFACE "$<BUILD_INTERFACE:${hiredis_SOURCE_DIR}/..>")
