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
