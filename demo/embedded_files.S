// The bytes of the demo's files, each from its symbol to the one that ends in _end. demo.cc reads
// them. DEMO_MODEL and DEMO_SCHEMA are the files' paths.

        .section .rodata

        .balign 64
        .globl promptdb_demo_model
        .hidden promptdb_demo_model
promptdb_demo_model:
        .incbin DEMO_MODEL
        .globl promptdb_demo_model_end
        .hidden promptdb_demo_model_end
promptdb_demo_model_end:

        .globl promptdb_demo_schema
        .hidden promptdb_demo_schema
promptdb_demo_schema:
        .incbin DEMO_SCHEMA
        .globl promptdb_demo_schema_end
        .hidden promptdb_demo_schema_end
promptdb_demo_schema_end:
        .byte 0

        // Without this, the linker would make the program's stack executable.
        .section .note.GNU-stack, "", %progbits
