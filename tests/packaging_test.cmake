# Installs tandem, then builds and runs tests/consumer against what was installed and nothing else:
# once as find_package(tandem) finds it, once as pkg-config does.
#   cmake -D linkage=static|shared -D root=... -D build=<the build tree ctest runs in> -D
#   scratch=... -P ...
# The linkage that <build> does not have is built beside it, unoptimised, and kept for the next run.
cmake_minimum_required(VERSION 3.25)

# run(<what it is for> <command>...): stops the test, with the command's own words, when it fails.
function(run purpose)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE words ERROR_VARIABLE words)
  if(NOT result EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${linkage}, ${purpose}: failed (${result})\n${command}\n${words}")
  endif()
  set(words "${words}" PARENT_SCOPE)
endfunction()

load_cache("${build}" READ_WITH_PREFIX parent_
  BUILD_SHARED_LIBS CMAKE_CXX_COMPILER CMAKE_GENERATOR CMAKE_MAKE_PROGRAM CMAKE_PREFIX_PATH
  TANDEM_FETCH_DEPS hiredis_SOURCE_DIR FMT_SOURCE_DIR)
set(settings -G "${parent_CMAKE_GENERATOR}" -D "CMAKE_CXX_COMPILER=${parent_CMAKE_CXX_COMPILER}"
  -D "CMAKE_MAKE_PROGRAM=${parent_CMAKE_MAKE_PROGRAM}")
set(prefix "${scratch}/${linkage}/prefix")
set(find "${scratch}/${linkage}/find_package")
set(pkgconfig "${scratch}/${linkage}/pkg-config")
file(REMOVE_RECURSE "${prefix}" "${find}" "${pkgconfig}")

set(shared OFF)
if(linkage STREQUAL "shared")
  set(shared ON)
endif()
if(NOT (parent_BUILD_SHARED_LIBS AND shared) AND (parent_BUILD_SHARED_LIBS OR shared))
  set(other "${scratch}/${linkage}/build")
  run("configuring the other linkage" ${CMAKE_COMMAND} -S "${root}" -B "${other}" ${settings}
    -D BUILD_SHARED_LIBS=${shared} -D "CMAKE_PREFIX_PATH=${parent_CMAKE_PREFIX_PATH}"
    -D TANDEM_FETCH_DEPS=${parent_TANDEM_FETCH_DEPS} # what was fetched once need not be again
    -D "FETCHCONTENT_SOURCE_DIR_HIREDIS=${parent_hiredis_SOURCE_DIR}"
    -D "FETCHCONTENT_SOURCE_DIR_FMT=${parent_FMT_SOURCE_DIR}"
    -D TANDEM_BUILD_TESTS=OFF -D TANDEM_BUILD_EXAMPLES=OFF
    -D TANDEM_BUILD_DEMO=OFF -D TANDEM_BUILD_BENCH=OFF)
  run("building the other linkage" ${CMAKE_COMMAND} --build "${other}" --parallel 2)
  set(build "${other}")
endif()
run("installing" ${CMAKE_COMMAND} --install "${build}" --prefix "${prefix}")
foreach(header IN ITEMS json msgpack) # also where their libraries are missing
  if(NOT EXISTS "${prefix}/include/tandem/codec/${header}.hpp")
    message(FATAL_ERROR "${linkage}: tandem/codec/${header}.hpp was not installed")
  endif()
endforeach()

# Only tandem's own prefix is given: the package must know by itself where the rest is.
run("configuring with find_package" ${CMAKE_COMMAND} -S "${root}/tests/consumer" -B "${find}" ${settings}
  -D "CMAKE_PREFIX_PATH=${prefix}")
run("building with find_package" ${CMAKE_COMMAND} --build "${find}")
run("running what find_package built" "${find}/consumer")

file(GLOB_RECURSE pc "${prefix}/tandem.pc")
cmake_path(GET pc PARENT_PATH pc_dir)
cmake_path(GET pc_dir PARENT_PATH libdir)
set(ENV{PKG_CONFIG_PATH} "${pc_dir}")
find_program(PKG_CONFIG NAMES pkg-config pkgconf REQUIRED)
foreach(static_flag IN ITEMS "" --static) # a static library must link by either
  run("asking pkg-config" ${PKG_CONFIG} --cflags --libs ${static_flag} tandem)
  separate_arguments(flags UNIX_COMMAND "${words}")
  file(MAKE_DIRECTORY "${pkgconfig}")
  run("building with pkg-config ${static_flag}" "${parent_CMAKE_CXX_COMPILER}" -std=c++20
    "${root}/tests/consumer/main.cpp" -o "${pkgconfig}/consumer" ${flags} "-Wl,-rpath,${libdir}")
  run("running what pkg-config built" "${pkgconfig}/consumer")
endforeach()
