# One target name, hiredis::hiredis, for every packaging of hiredis, and its version read from its
# own header:
#   hiredis built by CMake   exports that very target;
#   Debian and others        ship a header and a library only.
# Sets Hiredis_FOUND, and Hiredis_VERSION also for one that is refused as too old. Nothing found is
# cached: after an old hiredis was found once, a new one elsewhere must be seen.
find_package(hiredis CONFIG QUIET)
if(TARGET hiredis::hiredis)
  get_target_property(_hiredis_dirs hiredis::hiredis INTERFACE_INCLUDE_DIRECTORIES)
  find_path(Hiredis_INCLUDE_DIR hiredis/hiredis.h NO_CACHE NO_DEFAULT_PATH PATHS ${_hiredis_dirs})
  set(Hiredis_LIBRARY hiredis::hiredis)
else()
  find_path(Hiredis_INCLUDE_DIR hiredis/hiredis.h NO_CACHE)
  find_library(Hiredis_LIBRARY hiredis NO_CACHE)
endif()

unset(Hiredis_VERSION)
if(Hiredis_INCLUDE_DIR)
  foreach(_hiredis_part IN ITEMS MAJOR MINOR PATCH)
    file(STRINGS "${Hiredis_INCLUDE_DIR}/hiredis/hiredis.h" _hiredis_line
      REGEX "^#define HIREDIS_${_hiredis_part} +[0-9]+")
    string(REGEX REPLACE "^[^0-9]*([0-9]+).*" "\\1" _hiredis_number "${_hiredis_line}")
    list(APPEND Hiredis_VERSION "${_hiredis_number}")
  endforeach()
  list(JOIN Hiredis_VERSION "." Hiredis_VERSION)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Hiredis
  REQUIRED_VARS Hiredis_LIBRARY Hiredis_INCLUDE_DIR
  VERSION_VAR Hiredis_VERSION)

if(Hiredis_FOUND AND NOT TARGET hiredis::hiredis)
  add_library(hiredis::hiredis UNKNOWN IMPORTED)
  set_target_properties(hiredis::hiredis PROPERTIES
    IMPORTED_LOCATION "${Hiredis_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${Hiredis_INCLUDE_DIR}")
endif()
