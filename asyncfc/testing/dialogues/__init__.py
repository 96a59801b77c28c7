"""Dialogues: random conversations between scripted models and hand-written loops, and who judges them.

talk = talks().example()    # what the model says, how the loop behaves, what goes wrong between them
record = hold(talk)         # in virtual time, over any of the three protocols, streamed or not
judge(record)               # P17, P18, P21 and more
"""
