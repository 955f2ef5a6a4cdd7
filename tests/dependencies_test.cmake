# A missing or too old dependency must give one CMake error that names it, the version found, the
# version needed and the command that gets it.
#   cmake -D root=... -D build=... -D scratch=... -P tests/dependencies_test.cmake
cmake_minimum_required(VERSION 3.25)
load_cache("${build}" READ_WITH_PREFIX parent_ CMAKE_CXX_COMPILER CMAKE_GENERATOR CMAKE_MAKE_PROGRAM CMAKE_PREFIX_PATH)

# expect(<case> <words the error must have>... SETTINGS <cmake -D ...>...)
function(expect case)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SETTINGS")
  set(tree "${scratch}/${case}")
  file(REMOVE_RECURSE "${tree}")
  execute_process(
    COMMAND ${CMAKE_COMMAND} -S "${root}" -B "${tree}" -G "${parent_CMAKE_GENERATOR}"
      -D "CMAKE_CXX_COMPILER=${parent_CMAKE_CXX_COMPILER}" -D "CMAKE_MAKE_PROGRAM=${parent_CMAKE_MAKE_PROGRAM}"
      ${arg_SETTINGS}
    RESULT_VARIABLE result OUTPUT_QUIET ERROR_VARIABLE words)
  string(REGEX MATCHALL "CMake (Error|Warning)" reports "${words}")
  list(LENGTH reports count)
  if(result EQUAL 0 OR NOT count EQUAL 1)
    message(FATAL_ERROR "${case}: expected one error, exit was ${result}, reports ${count}:\n${words}")
  endif()
  foreach(word IN LISTS arg_UNPARSED_ARGUMENTS)
    string(FIND "${words}" "${word}" at)
    if(at EQUAL -1)
      message(FATAL_ERROR "${case}: the error does not say '${word}':\n${words}")
    endif()
  endforeach()
endfunction()

# hiredis 0.14 as Debian 12 packages it: a header, a library, and no CMake package.
set(old "${scratch}/old hiredis")
file(WRITE "${old}/include/hiredis/hiredis.h"
  "#define HIREDIS_MAJOR 0\n#define HIREDIS_MINOR 14\n#define HIREDIS_PATCH 1\n#define HIREDIS_SONAME 0.14\n")
file(WRITE "${old}/lib/libhiredis.a" "")
expect(hiredis-too-old "hiredis >= 1.0 is needed, 0.14.1 was found" "./dev setup"
  SETTINGS -D "CMAKE_PREFIX_PATH=${old}" -D CMAKE_DISABLE_FIND_PACKAGE_hiredis=ON)
# The same build tree must see a new hiredis that came after that.
execute_process(COMMAND ${CMAKE_COMMAND} -D "CMAKE_PREFIX_PATH=${parent_CMAKE_PREFIX_PATH}"
    -D CMAKE_DISABLE_FIND_PACKAGE_hiredis=OFF "${scratch}/hiredis-too-old"
  RESULT_VARIABLE result OUTPUT_QUIET ERROR_VARIABLE words)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "an old hiredis found once hides a new one:\n${words}")
endif()
expect(hiredis-missing "hiredis >= 1.0 is needed, none was found" "./dev setup"
  SETTINGS -D CMAKE_DISABLE_FIND_PACKAGE_Hiredis=ON)

file(WRITE "${scratch}/old fmt/fmt-config.cmake" "")
file(WRITE "${scratch}/old fmt/fmt-config-version.cmake"
  "set(PACKAGE_VERSION 7.1.3)\nset(PACKAGE_VERSION_COMPATIBLE TRUE)\n")
expect(fmt-too-old "fmt >= 8.0 is needed, 7.1.3 was found" "./dev setup"
  SETTINGS -D "CMAKE_PREFIX_PATH=${parent_CMAKE_PREFIX_PATH}" -D "fmt_DIR=${scratch}/old fmt")
expect(everything-missing "hiredis >= 1.0" "fmt >= 8.0" "OpenSSL >= 1.1.1" "GoogleTest >= 1.11" "./dev setup"
  SETTINGS -D CMAKE_DISABLE_FIND_PACKAGE_Hiredis=ON -D CMAKE_DISABLE_FIND_PACKAGE_fmt=ON
    -D CMAKE_DISABLE_FIND_PACKAGE_OpenSSL=ON -D CMAKE_DISABLE_FIND_PACKAGE_GTest=ON)
