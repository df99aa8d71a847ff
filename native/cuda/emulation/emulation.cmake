# The emulated CUDA backend (cuda/platform.h) for the host compiler. The language of a .cu file cannot be set to C++ for
# one target alone, so each is included by a generated file.
set(INSTASEG_KERNEL_OPTIONS
  -Wno-unknown-pragmas  # unroll
  -fstack-clash-protection  # a frame that a thread's stack cannot hold meets the guard page below it
  # Messages name files as the repository does.
  -fmacro-prefix-map=${CMAKE_CURRENT_SOURCE_DIR}/= -fmacro-prefix-map=../native/=native/)

if(INSTASEG_EMULATION_RACES)
  # Every access is reported to emulation/access_hooks.cpp; nothing links to the library that the option is made for.
  list(APPEND INSTASEG_KERNEL_OPTIONS -O1 -g -fsanitize=thread --param=tsan-instrument-func-entry-exit=0)
endif()

# emulated_sources(<variable> <file.cu>...): the generated files.
function(emulated_sources variable)
  set(generated)
  foreach(file IN LISTS ARGN)
    get_filename_component(stem ${file} NAME_WE)
    set(source ${CMAKE_CURRENT_BINARY_DIR}/emulated/emu_${stem}.cpp)
    file(CONFIGURE OUTPUT ${source} CONTENT "#include \"${file}\"\n" @ONLY)
    list(APPEND generated ${source})
  endforeach()
  set_source_files_properties(${generated} PROPERTIES COMPILE_OPTIONS "${INSTASEG_KERNEL_OPTIONS}")
  set(${variable} ${generated} PARENT_SCOPE)
endfunction()

# The emulator itself runs without checks; see sanitizer.h.
file(GLOB INSTASEG_EMULATOR CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/native/cuda/emulation/*.cpp)
set(INSTASEG_EMULATOR_OPTIONS -O3)
if(INSTASEG_SANITIZE)
  list(APPEND INSTASEG_EMULATOR_OPTIONS -fno-sanitize=all)
endif()
set_source_files_properties(${INSTASEG_EMULATOR} PROPERTIES COMPILE_OPTIONS "${INSTASEG_EMULATOR_OPTIONS}")

file(GLOB INSTASEG_KERNEL_FILES CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/native/cuda/*.cu)
emulated_sources(INSTASEG_KERNELS ${INSTASEG_KERNEL_FILES})
file(GLOB INSTASEG_EMULATED_HOST CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/native/cuda/*.cpp)

# The emulator's own tests.
file(GLOB INSTASEG_SELFTEST_FILES CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/native/cuda/emulation/selftest/*.cu)
emulated_sources(INSTASEG_SELFTEST ${INSTASEG_SELFTEST_FILES})
file(GLOB INSTASEG_SELFTEST_HOST CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/native/cuda/emulation/selftest/*.cpp)

set(INSTASEG_EMULATED_SOURCES ${INSTASEG_KERNELS} ${INSTASEG_EMULATED_HOST} ${INSTASEG_EMULATOR})
set(INSTASEG_SELFTEST_SOURCES ${INSTASEG_SELFTEST} ${INSTASEG_SELFTEST_HOST} ${INSTASEG_EMULATOR}
  native/cuda/error.cpp native/runtime/error.cpp native/runtime/dtype.cpp)
# Not defined for other files: they are the same as in builds without the emulator, for compiler caches too.
set_source_files_properties(${INSTASEG_EMULATED_SOURCES} ${INSTASEG_SELFTEST} ${INSTASEG_SELFTEST_HOST} PROPERTIES
  COMPILE_DEFINITIONS "INSTASEG_CUDA_EMULATED;$<$<BOOL:${INSTASEG_SANITIZE}>:INSTASEG_ASAN>;\
$<$<BOOL:${INSTASEG_EMULATION_RACES}>:INSTASEG_EMULATION_RACES>")
