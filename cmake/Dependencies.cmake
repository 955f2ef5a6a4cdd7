# tandem_find_dependencies(): finds or fetches everything tandem links to, or stops with one error
# that names all that is missing or too old, and the command that gets it.
option(TANDEM_FETCH_DEPS "Fetch and build pinned releases of hiredis and fmt instead of finding them" OFF)

function(tandem_find_dependencies)
  set(missing "")
  if(TANDEM_FETCH_DEPS)
    include(FetchDependencies)
  else()
    tandem_find(hiredis 1.0 Hiredis Hiredis_VERSION)
    tandem_find(fmt 8.0 fmt fmt_VERSION)
  endif()
  tandem_find(OpenSSL 1.1.1 OpenSSL OPENSSL_VERSION)
  if(TANDEM_BUILD_TESTS)
    tandem_find(GoogleTest 1.11 GTest GTest_VERSION)
  endif()
  find_package(Threads REQUIRED)
  if(missing)
    message(FATAL_ERROR "tandem cannot be built here:\n${missing}"
      "Get what is missing with\n"
      "  ./dev setup\n"
      "in ${PROJECT_SOURCE_DIR}, then configure with a preset: cmake --preset release\n"
      "(-DTANDEM_FETCH_DEPS=ON fetches pinned releases of hiredis and fmt instead.)")
  endif()
endfunction()

# tandem_find_optional(): what nobody needs but the tests and examples of include/tandem/codec/. Sets
# tandem_json and tandem_msgpack to what these link, or to nothing, and says what is left out.
function(tandem_find_optional)
  find_package(nlohmann_json QUIET)
  # Its name, and its target's, have changed with its versions; what Debian calls libmsgpack-dev is
  # another one.
  find_package(msgpack QUIET NAMES msgpack-cxx msgpackc-cxx msgpack)
  tandem_optional(tandem_json "nlohmann-json" nlohmann-json3-dev nlohmann_json::nlohmann_json)
  tandem_optional(tandem_msgpack "msgpack-cxx" libmsgpack-cxx-dev msgpackc-cxx msgpack-cxx)
endfunction()

# A macro, so that the variable is that of the caller's caller.
macro(tandem_optional variable name package)
  set(${variable} "" PARENT_SCOPE)
  set(tandem_found "")
  foreach(tandem_target IN ITEMS ${ARGN})
    if(TARGET ${tandem_target})
      set(${variable} ${tandem_target} PARENT_SCOPE)
      set(tandem_found ${tandem_target})
    endif()
  endforeach()
  if(NOT tandem_found)
    message(STATUS "${name} is not here (Debian: ${package}): its tests and example are left out")
  endif()
endmacro()

# A macro, so that a miss lands in the caller's `missing`. find_package() gets no version to ask
# for: we want to know, and to say, which one is there.
macro(tandem_find name minimum package version_variable)
  find_package(${package} QUIET)
  if(NOT ${package}_FOUND)
    string(APPEND missing "  ${name} >= ${minimum} is needed, none was found\n")
  elseif("${${version_variable}}" VERSION_LESS "${minimum}")
    string(APPEND missing "  ${name} >= ${minimum} is needed, ${${version_variable}} was found\n")
    unset(${package}_DIR CACHE) # look again next time
  endif()
endmacro()
